/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands for libnvidia-ml.so.1 where there is no GPU: it answers what a text says
 * (SCENARIO, a path, is given when it is compiled), which is read anew by each nvmlInit. Lines:
 *
 *   driver VERSION
 *   cuda NUMBER
 *   gpu BUSID UUID MINOR BRAND MAJOR.MINOR MIGMODE FABRIC NAME   in the order of indices; a MIG
 *                                            mode or fabric state of - is not supported
 *   mig GPU INDEX GI CI UUID
 *   open PATH                                a device, as long as the library is initialized
 *   hang FUNCTION [GPU]                      never comes back
 *   crash FUNCTION [GPU]
 *   fail FUNCTION CODE [GPU]
 *   walls PATH                               the driver's version is what could be done that is
 *                                            forbidden; PATH is a program
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define GPUS 256
#define MIGS 2048
#define FAULTS 32

struct gpu {
	unsigned int index, domain, bus, device, minor, major_arch, minor_arch;
	int brand, mig, fabric;
	char uuid[64], name[96];
};

struct mig {
	unsigned int gpu, index, gi, ci;
	char uuid[96];
};

struct fault {
	char kind[8], function[64];
	int code, gpu;
};

/* A device is a GPU or a MIG device. */
struct device {
	struct gpu *gpu;
	struct mig *mig;
};

static struct gpu gpus[GPUS];
static struct mig migs[MIGS];
static struct device gpu_devices[GPUS], mig_devices[MIGS];
static struct fault faults[FAULTS];
static unsigned int n_gpus, n_migs, n_faults;
static char driver[80], walls[256];
static int cuda, opened = -1;

static int number(const char *word)
{
	return strcmp(word, "-") == 0 ? -1 : atoi(word);
}

static void read_gpu(const char *line)
{
	struct gpu *gpu = &gpus[n_gpus];
	char mig[8], fabric[8];

	if (n_gpus == GPUS ||
	    sscanf(line, "gpu %x:%x:%x.0 %63s %u %d %u.%u %7s %7s %95[^\n]", &gpu->domain,
		   &gpu->bus, &gpu->device, gpu->uuid, &gpu->minor, &gpu->brand, &gpu->major_arch,
		   &gpu->minor_arch, mig, fabric, gpu->name) != 11)
		abort();
	gpu->index = n_gpus;
	gpu->mig = number(mig);
	gpu->fabric = number(fabric);
	gpu_devices[n_gpus++].gpu = gpu;
}

static void read_mig(const char *line)
{
	struct mig *mig = &migs[n_migs];

	if (n_migs == MIGS || sscanf(line, "mig %u %u %u %u %95s", &mig->gpu, &mig->index, &mig->gi,
				     &mig->ci, mig->uuid) != 5)
		abort();
	mig_devices[n_migs].gpu = &gpus[mig->gpu];
	mig_devices[n_migs++].mig = mig;
}

static void read_fault(const char *line)
{
	struct fault *fault = &faults[n_faults];

	fault->gpu = -1;
	if (n_faults == FAULTS || sscanf(line, "%7s %63s", fault->kind, fault->function) != 2)
		abort();
	if (strcmp(fault->kind, "fail") == 0)
		(void)sscanf(line, "%*s %*s %d %d", &fault->code, &fault->gpu);
	else
		(void)sscanf(line, "%*s %*s %d", &fault->gpu);
	n_faults++;
}

static void read_line(const char *line)
{
	char path[256];

	if (strncmp(line, "gpu ", 4) == 0)
		read_gpu(line);
	else if (strncmp(line, "mig ", 4) == 0)
		read_mig(line);
	else if (strncmp(line, "hang ", 5) == 0 || strncmp(line, "crash ", 6) == 0 ||
		 strncmp(line, "fail ", 5) == 0)
		read_fault(line);
	else if (sscanf(line, "open %255s", path) == 1)
		opened = open(path, O_RDWR | O_CLOEXEC);
	else if (sscanf(line, "driver %79s", driver) != 1 && sscanf(line, "cuda %d", &cuda) != 1)
		(void)sscanf(line, "walls %255s", walls);
}

/* What is to happen here: 0 goes on, else the code that is to be returned. */
static int fault(const char *function, const struct device *device)
{
	for (unsigned int i = 0; i < n_faults; i++) {
		if (strcmp(faults[i].function, function) != 0)
			continue;
		if (faults[i].gpu >= 0 &&
		    (!device || device->gpu->index != (unsigned int)faults[i].gpu))
			continue;
		if (strcmp(faults[i].kind, "hang") == 0)
			for (;;)
				(void)pause();
		if (strcmp(faults[i].kind, "crash") == 0)
			(void)raise(SIGSEGV);
		return faults[i].code;
	}
	return 0;
}

#define EXPORT __attribute__((visibility("default")))
#define BEGIN(device)                                \
	do {                                         \
		int code_ = fault(__func__, device); \
		if (code_)                           \
			return code_;                \
	} while (0)

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlInit_v2(void)
{
	char line[512];
	FILE *file = fopen(SCENARIO, "re");

	if (!file)
		return 17;
	while (fgets(line, sizeof(line), file))
		read_line(line);
	(void)fclose(file);
	BEGIN(NULL);
	return 0;
}

EXPORT int nvmlShutdown(void);
EXPORT int nvmlShutdown(void)
{
	BEGIN(NULL);
	if (opened >= 0)
		(void)close(opened);
	return 0;
}

static const char *yes(int result)
{
	return result >= 0 ? "yes" : "no";
}

/* Who we are, and which of the walls have a hole. */
static void try_walls(char *buf, unsigned int size)
{
	char *argv[] = { walls, NULL };
	pid_t child = fork();
	const struct {
		const char *name;
		int result;
	} attempts[] = {
		{ "root", setuid(0) },
		{ "fork", child },
		{ "exec", execv(walls, argv) },
		{ "net", socket(AF_INET, SOCK_STREAM, 0) },
		{ "node", mknod("/tmp/nvml-node", S_IFCHR | 0600, 0) },
		{ "write", open("/tmp/nvml-file", O_WRONLY | O_CREAT | O_EXCL, 0600) },
		{ "signal", kill(getpid(), 0) }, /* ours to send, but for the list */
		{ "dumpable", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) },
		{ "traced", prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0) },
		{ "orphan", prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) },
	};
	struct rlimit limit = { 0 };
	size_t n;

	if (child == 0)
		_exit(0);
	(void)getrlimit(RLIMIT_FSIZE, &limit);
	n = (size_t)snprintf(buf, size, "uid-%u-gid-%u-named-%s-fsize-%llu", getuid(), getgid(),
			     yes(prctl(PR_SET_NAME, "nvml", 0, 0, 0)),
			     (unsigned long long)limit.rlim_cur);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts) && n < size; i++)
		if (attempts[i].result >= 0)
			n += (size_t)snprintf(buf + n, size - n, "-%s", attempts[i].name);
	if (n < size)
		(void)snprintf(buf + n, size - n, "-end");
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned int size);
EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned int size)
{
	BEGIN(NULL);
	if (walls[0])
		try_walls(version, size);
	else
		(void)snprintf(version, size, "%s", driver);
	return 0;
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version);
EXPORT int nvmlSystemGetCudaDriverVersion(int *version)
{
	BEGIN(NULL);
	*version = cuda;
	return 0;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned int *count);
EXPORT int nvmlDeviceGetCount_v2(unsigned int *count)
{
	BEGIN(NULL);
	*count = n_gpus;
	return 0;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct device **device);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct device **device)
{
	if (index >= n_gpus)
		return 2;
	BEGIN(&gpu_devices[index]);
	*device = &gpu_devices[index];
	return 0;
}

struct pci {
	char legacy[16];
	unsigned int domain, bus, device, id, subsystem;
	char bus_id[32];
};

EXPORT int nvmlDeviceGetPciInfo_v3(struct device *device, struct pci *pci);
EXPORT int nvmlDeviceGetPciInfo_v3(struct device *device, struct pci *pci)
{
	BEGIN(device);
	*pci = (struct pci){ .domain = device->gpu->domain, .bus = device->gpu->bus, .device = device->gpu->device };
	return 0;
}

EXPORT int nvmlDeviceGetMinorNumber(struct device *device, unsigned int *minor);
EXPORT int nvmlDeviceGetMinorNumber(struct device *device, unsigned int *minor)
{
	BEGIN(device);
	*minor = device->gpu->minor;
	return 0;
}

EXPORT int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned int size);
EXPORT int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned int size)
{
	BEGIN(device);
	(void)snprintf(uuid, size, "%s", device->mig ? device->mig->uuid : device->gpu->uuid);
	return 0;
}

EXPORT int nvmlDeviceGetName(struct device *device, char *name, unsigned int size);
EXPORT int nvmlDeviceGetName(struct device *device, char *name, unsigned int size)
{
	BEGIN(device);
	(void)snprintf(name, size, "%s", device->gpu->name);
	return 0;
}

EXPORT int nvmlDeviceGetBrand(struct device *device, int *brand);
EXPORT int nvmlDeviceGetBrand(struct device *device, int *brand)
{
	BEGIN(device);
	*brand = device->gpu->brand;
	return 0;
}

EXPORT int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor);
EXPORT int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor)
{
	BEGIN(device);
	*major = (int)device->gpu->major_arch;
	*minor = (int)device->gpu->minor_arch;
	return 0;
}

struct fabric {
	unsigned char cluster[16];
	int status;
	unsigned int clique;
	unsigned char state;
};

EXPORT int nvmlDeviceGetGpuFabricInfo(struct device *device, struct fabric *fabric);
EXPORT int nvmlDeviceGetGpuFabricInfo(struct device *device, struct fabric *fabric)
{
	BEGIN(device);
	if (device->gpu->fabric < 0)
		return 3;
	fabric->state = (unsigned char)device->gpu->fabric;
	fabric->status = 0;
	return 0;
}

EXPORT int nvmlDeviceGetMigMode(struct device *device, unsigned int *current,
				unsigned int *pending);
EXPORT int nvmlDeviceGetMigMode(struct device *device, unsigned int *current, unsigned int *pending)
{
	BEGIN(device);
	if (device->gpu->mig < 0)
		return 3;
	*current = *pending = (unsigned int)device->gpu->mig;
	return 0;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned int *count);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned int *count)
{
	BEGIN(device);
	*count = 7;
	return 0;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned int index,
					       struct device **mig);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned int index,
					       struct device **mig)
{
	BEGIN(device);
	for (unsigned int i = 0; i < n_migs; i++) {
		if (migs[i].gpu == device->gpu->index && migs[i].index == index) {
			*mig = &mig_devices[i];
			return 0;
		}
	}
	return 6;
}

EXPORT int nvmlDeviceGetGpuInstanceId(struct device *mig, unsigned int *id);
EXPORT int nvmlDeviceGetGpuInstanceId(struct device *mig, unsigned int *id)
{
	BEGIN(mig);
	*id = mig->mig->gi;
	return 0;
}

EXPORT int nvmlDeviceGetComputeInstanceId(struct device *mig, unsigned int *id);
EXPORT int nvmlDeviceGetComputeInstanceId(struct device *mig, unsigned int *id)
{
	BEGIN(mig);
	*id = mig->mig->ci;
	return 0;
}
