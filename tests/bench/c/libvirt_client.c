/*
 * The floor of input.libvirt, in C: one input-send-event at a time by virDomainQemuMonitorCommand.
 *
 *   libvirt_client URI DOMAIN N        key down, key up of "a" in turn; prints "p50 p99" in us
 */
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
  if (n < 1) {
    fprintf(stderr, "usage: libvirt_client URI DOMAIN N\n");
    return 2;
  }
  virConnectPtr connection = virConnectOpen(argv[1]);
  virDomainPtr domain = connection == NULL ? NULL : virDomainLookupByName(connection, argv[2]);
  double *times = malloc((size_t)n * sizeof *times);
  if (domain == NULL || times == NULL) return 1;
  for (long i = 0; i < n; i++) {
    char command[256];
    snprintf(command, sizeof command,
             "{\"execute\":\"input-send-event\",\"arguments\":{\"events\":[{\"type\":\"key\",\"data\":"
             "{\"key\":{\"type\":\"qcode\",\"data\":\"a\"},\"down\":%s}}]}}",
             i % 2 == 0 ? "true" : "false");
    char *answer = NULL;
    double start = now_us();
    if (virDomainQemuMonitorCommand(domain, command, &answer, 0) < 0) return 1;
    times[i] = now_us() - start;
    if (strstr(answer, "\"return\"") == NULL) {
      fprintf(stderr, "QEMU refuses: %s\n", answer);
      return 1;
    }
    free(answer);
  }
  qsort(times, (size_t)n, sizeof *times, by_value);
  printf("%.1f %.1f\n", times[n / 2], times[n * 99 / 100]);
  virDomainFree(domain);
  virConnectClose(connection);
  return 0;
}
