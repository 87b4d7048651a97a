/*
 * The floor of a wall of small pictures: reads one row in so many of each VM's picture out of QEMU's memory,
 * the VMs one after the other over a second, and compares it with what was there, for some seconds. Prints
 * the processor time that took, ms a second.
 *
 *   wall_floor SECONDS STEP WIDTH HEIGHT PID:ADDRESS...
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    int seconds = atoi(argv[1]), vms = argc - 5;
    size_t step = (size_t)atoi(argv[2]), width = (size_t)atoi(argv[3]), height = (size_t)atoi(argv[4]);
    size_t row = 4 * width, bytes = row * height;
    int *fds = calloc((size_t)vms, sizeof *fds);
    long long *addresses = calloc((size_t)vms, sizeof *addresses);
    uint8_t *pictures = calloc((size_t)vms, bytes), *scratch = malloc(row);
    if (fds == NULL || addresses == NULL || pictures == NULL || scratch == NULL)
        return 1;
    for (int i = 0; i < vms; i++) {
        char path[64];
        int pid;
        if (sscanf(argv[5 + i], "%d:%lli", &pid, &addresses[i]) != 2)
            return 2;
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        fds[i] = open(path, O_RDONLY);
        if (fds[i] < 0) {
            perror(path);
            return 1;
        }
    }
    double spent = 0;
    for (int turn = 0; turn <= seconds * vms; turn++) {
        int vm = turn % vms;
        /* The first look at each is not counted: it touches memory for the first time. */
        if (turn == vms)
            spent = now(CLOCK_PROCESS_CPUTIME_ID);
        for (size_t y = (size_t)(turn / vms) % step; y < height; y += step) {
            if (pread(fds[vm], scratch, row, (off_t)addresses[vm] + (off_t)(y * row)) != (ssize_t)row)
                return 1;
            uint8_t *to = pictures + (size_t)vm * bytes + y * row;
            if (memcmp(to, scratch, row) != 0)
                memcpy(to, scratch, row);
        }
        usleep((useconds_t)(1e6 / vms));
    }
    spent = now(CLOCK_PROCESS_CPUTIME_ID) - spent;
    printf("%.2f\n", spent / (seconds - 1));
    return 0;
}
