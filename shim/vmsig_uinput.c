/*
 * uinput's ioctls: see vmsig_shim.h for the conventions.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <linux/uinput.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Events written by one call; a frame of input is at most 256 records, each two events at most, and its
 * SYN. */
#define MAX_EVENTS 520

/* `what` is the event type whose codes the bit belongs to: 0 the types themselves, 1 EV_KEY, 2 EV_REL, 3
 * EV_ABS; -1 a
 * property. */
int32_t vmsig_uinput_set_bit(int32_t fd, int32_t what, int32_t bit)
{
    switch (what) {
    case -1:
        return vmsig_result(ioctl(fd, UI_SET_PROPBIT, bit));
    case 0:
        return vmsig_result(ioctl(fd, UI_SET_EVBIT, bit));
    case EV_KEY:
        return vmsig_result(ioctl(fd, UI_SET_KEYBIT, bit));
    case EV_REL:
        return vmsig_result(ioctl(fd, UI_SET_RELBIT, bit));
    case EV_ABS:
        return vmsig_result(ioctl(fd, UI_SET_ABSBIT, bit));
    }
    return -EINVAL;
}

/* id: bus, vendor, product, version. */
int32_t vmsig_uinput_setup(int32_t fd, const uint32_t *id, const char *name, uint32_t effects)
{
    struct uinput_setup setup;
    memset(&setup, 0, sizeof setup);
    setup.id.bustype = (uint16_t)id[0];
    setup.id.vendor = (uint16_t)id[1];
    setup.id.product = (uint16_t)id[2];
    setup.id.version = (uint16_t)id[3];
    size_t length = strnlen(name, UINPUT_MAX_NAME_SIZE);
    if (length == 0 || length >= UINPUT_MAX_NAME_SIZE)
        return -EINVAL;
    memcpy(setup.name, name, length);
    setup.ff_effects_max = effects;
    return vmsig_result(ioctl(fd, UI_DEV_SETUP, &setup));
}

/* info: value, minimum, maximum, fuzz, flat, resolution. */
int32_t vmsig_uinput_abs_setup(int32_t fd, int32_t code, const int32_t *info)
{
    struct uinput_abs_setup setup;
    memset(&setup, 0, sizeof setup);
    setup.code = (uint16_t)code;
    setup.absinfo = (struct input_absinfo){.value = info[0],
                                           .minimum = info[1],
                                           .maximum = info[2],
                                           .fuzz = info[3],
                                           .flat = info[4],
                                           .resolution = info[5]};
    return vmsig_result(ioctl(fd, UI_ABS_SETUP, &setup));
}

int32_t vmsig_uinput_create(int32_t fd)
{
    return vmsig_result(ioctl(fd, UI_DEV_CREATE));
}

int32_t vmsig_uinput_destroy(int32_t fd)
{
    return vmsig_result(ioctl(fd, UI_DEV_DESTROY));
}

int32_t vmsig_uinput_sysname(int32_t fd, char *out, int32_t bytes)
{
    return vmsig_result(ioctl(fd, UI_GET_SYSNAME((unsigned)bytes), out));
}

/* events: type, code, value a piece; written with one call, so that the kernel takes them together. */
int32_t vmsig_uinput_write(int32_t fd, const int32_t *events, int32_t count)
{
    struct input_event records[MAX_EVENTS];
    if (count < 1 || count > MAX_EVENTS)
        return -EINVAL;
    memset(records, 0, (size_t)count * sizeof records[0]);
    for (int32_t i = 0; i < count; i++) {
        records[i].type = (uint16_t)events[3 * i];
        records[i].code = (uint16_t)events[3 * i + 1];
        records[i].value = events[3 * i + 2];
    }
    ssize_t written = write(fd, records, (size_t)count * sizeof records[0]);
    return written < 0 ? -errno : (int32_t)(written / (ssize_t)sizeof records[0]);
}
