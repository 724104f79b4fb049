/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cudacheck: does CUDA work here? By the driver API, found as any program finds
 * it (dlopen of libcuda.so.1): init, context, memory, a copy, a PTX kernel that
 * adds two vectors through the driver's own JIT compiler, and the result checked.
 * Prints one line per step; exit status 0 only if the sum was right.
 *
 * No CUDA headers: the few declarations are our own, after the "CUDA Driver API"
 * reference manual. Names with a version suffix are the ABI that current headers
 * map the plain names to (cuMemAlloc is cuMemAlloc_v2).
 *
 * LINK: -ldl
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N 4096

typedef int cu_result;
typedef int cu_device;
typedef unsigned long long cu_deviceptr;

struct driver {
	cu_result (*init)(unsigned int flags);
	cu_result (*version)(int *ret);
	cu_result (*count)(int *ret);
	cu_result (*device)(cu_device *ret, int ordinal);
	cu_result (*name)(char *ret, int len, cu_device dev);
	cu_result (*context)(void **ret, unsigned int flags, cu_device dev);
	cu_result (*destroy)(void *context);
	cu_result (*load)(void **ret_module, const void *image);
	cu_result (*function)(void **ret, void *module, const char *name);
	cu_result (*alloc)(cu_deviceptr *ret, size_t size);
	cu_result (*release)(cu_deviceptr ptr);
	cu_result (*to_device)(cu_deviceptr dst, const void *src, size_t size);
	cu_result (*to_host)(void *dst, cu_deviceptr src, size_t size);
	cu_result (*launch)(void *function, unsigned int gx, unsigned int gy, unsigned int gz,
			    unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared,
			    void *stream, void **params, void **extra);
	cu_result (*synchronize)(void);
	cu_result (*error_name)(cu_result code, const char **ret);
};

/*
 * sm_50 and PTX 4.3 are old enough for every driver that is still served, and
 * make the JIT work on a newer GPU. "add" alone is a reserved word of PTX.
 */
static const char ptx[] =
	".version 4.3\n"
	".target sm_50\n"
	".address_size 64\n"
	".visible .entry nvfs_add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n"
	"{\n"
	"	.reg .pred %p<2>;\n"
	"	.reg .f32 %f<4>;\n"
	"	.reg .b32 %r<6>;\n"
	"	.reg .b64 %d<8>;\n"
	"	ld.param.u64 %d1, [a];\n"
	"	ld.param.u64 %d2, [b];\n"
	"	ld.param.u64 %d3, [c];\n"
	"	ld.param.u32 %r1, [n];\n"
	"	mov.u32 %r2, %ctaid.x;\n"
	"	mov.u32 %r3, %ntid.x;\n"
	"	mov.u32 %r4, %tid.x;\n"
	"	mad.lo.s32 %r5, %r2, %r3, %r4;\n"
	"	setp.ge.u32 %p1, %r5, %r1;\n"
	"	@%p1 bra done;\n"
	"	mul.wide.u32 %d4, %r5, 4;\n"
	"	cvta.to.global.u64 %d1, %d1;\n"
	"	cvta.to.global.u64 %d2, %d2;\n"
	"	cvta.to.global.u64 %d3, %d3;\n"
	"	add.s64 %d5, %d1, %d4;\n"
	"	add.s64 %d6, %d2, %d4;\n"
	"	add.s64 %d7, %d3, %d4;\n"
	"	ld.global.f32 %f1, [%d5];\n"
	"	ld.global.f32 %f2, [%d6];\n"
	"	add.f32 %f3, %f1, %f2;\n"
	"	st.global.f32 [%d7], %f3;\n"
	"done:\n"
	"	ret;\n"
	"}\n";

static bool symbol(void *lib, const char *name, void *ret)
{
	void *found = dlsym(lib, name);

	if (!found)
		printf("dlsym %s: not there\n", name);
	else
		*(void **)ret = found;
	return found != NULL;
}

static bool driver_open(struct driver *d)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);

	if (!lib) {
		printf("dlopen: %s\n", dlerror());
		return false;
	}
	return symbol(lib, "cuInit", &d->init) && symbol(lib, "cuDriverGetVersion", &d->version) &&
	       symbol(lib, "cuDeviceGetCount", &d->count) &&
	       symbol(lib, "cuDeviceGet", &d->device) && symbol(lib, "cuDeviceGetName", &d->name) &&
	       symbol(lib, "cuCtxCreate_v2", &d->context) &&
	       symbol(lib, "cuCtxDestroy_v2", &d->destroy) &&
	       symbol(lib, "cuModuleLoadData", &d->load) &&
	       symbol(lib, "cuModuleGetFunction", &d->function) &&
	       symbol(lib, "cuMemAlloc_v2", &d->alloc) &&
	       symbol(lib, "cuMemFree_v2", &d->release) &&
	       symbol(lib, "cuMemcpyHtoD_v2", &d->to_device) &&
	       symbol(lib, "cuMemcpyDtoH_v2", &d->to_host) &&
	       symbol(lib, "cuLaunchKernel", &d->launch) &&
	       symbol(lib, "cuCtxSynchronize", &d->synchronize) &&
	       symbol(lib, "cuGetErrorName", &d->error_name);
}

static bool step(const struct driver *d, const char *what, cu_result code)
{
	const char *name = NULL;

	if (code == 0)
		return true;
	if (d->error_name(code, &name) != 0 || !name)
		name = "unknown error";
	printf("%s: %s (%d)\n", what, name, code);
	return false;
}

static bool context_open(const struct driver *d, void **ret)
{
	char name[128] = "";
	int version = 0, count = 0;
	cu_device dev;

	if (!step(d, "cuInit", d->init(0)) ||
	    !step(d, "cuDriverGetVersion", d->version(&version)) ||
	    !step(d, "cuDeviceGetCount", d->count(&count)) ||
	    !step(d, "cuDeviceGet", d->device(&dev, 0)) ||
	    !step(d, "cuDeviceGetName", d->name(name, sizeof(name) - 1, dev)))
		return false;
	printf("CUDA %d.%d, %d device(s), %s\n", version / 1000, version % 1000 / 10, count, name);
	return step(d, "cuCtxCreate", d->context(ret, 0, dev));
}

static bool check_sum(const float *sum)
{
	for (int i = 0; i < N; i++) {
		if (sum[i] != (float)i * 3.0f) {
			printf("element %d is %f, not %f\n", i, (double)sum[i], (double)i * 3.0);
			return false;
		}
	}
	return true;
}

static bool add_vectors(const struct driver *d)
{
	static float a[N], b[N], c[N];
	cu_deviceptr da = 0, db = 0, dc = 0;
	unsigned int n = N;
	void *params[] = { &da, &db, &dc, &n };
	void *module, *function;

	for (int i = 0; i < N; i++) {
		a[i] = (float)i;
		b[i] = (float)i * 2.0f;
	}
	return step(d, "cuModuleLoadData (JIT)", d->load(&module, ptx)) &&
	       step(d, "cuModuleGetFunction", d->function(&function, module, "nvfs_add")) &&
	       step(d, "cuMemAlloc", d->alloc(&da, sizeof(a))) &&
	       step(d, "cuMemAlloc", d->alloc(&db, sizeof(b))) &&
	       step(d, "cuMemAlloc", d->alloc(&dc, sizeof(c))) &&
	       step(d, "cuMemcpyHtoD", d->to_device(da, a, sizeof(a))) &&
	       step(d, "cuMemcpyHtoD", d->to_device(db, b, sizeof(b))) &&
	       step(d, "cuLaunchKernel",
		    d->launch(function, N / 256, 1, 1, 256, 1, 1, 0, NULL, params, NULL)) &&
	       step(d, "cuCtxSynchronize", d->synchronize()) &&
	       step(d, "cuMemcpyDtoH", d->to_host(c, dc, sizeof(c))) && check_sum(c) &&
	       step(d, "cuMemFree", d->release(da)) && step(d, "cuMemFree", d->release(db)) &&
	       step(d, "cuMemFree", d->release(dc));
}

/* The same over and over in one context: the JIT compiler and what it opens, each time anew. */
static bool add_for(const struct driver *d, double seconds)
{
	time_t end = time(NULL) + (time_t)seconds;
	unsigned long rounds = 0;

	do {
		if (!add_vectors(d))
			return false;
		if (rounds++ == 0)
			(void)fflush(stdout); /* for whoever waits for the first kernel */
	} while (time(NULL) < end);
	printf("rounds %lu\n", rounds);
	return true;
}

int main(int argc, char *argv[])
{
	struct driver d = { 0 };
	void *context = NULL;

	if (!driver_open(&d) || !context_open(&d, &context) ||
	    !add_for(&d, argc > 1 ? atof(argv[1]) : 0))
		return EXIT_FAILURE;
	if (!step(&d, "cuCtxDestroy", d.destroy(context)))
		return EXIT_FAILURE;
	puts("cudacheck: ok");
	return EXIT_SUCCESS;
}
