/* The guest's real screen as a source: /dev/fb0, which bochs-drm and the boot framebuffers give. */
#include <fcntl.h>
#include <linux/fb.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "producer.h"

static uint8_t *screen;
static uint32_t line_bytes;
static struct picture shape;

int screen_open(struct picture *picture) {
  struct fb_var_screeninfo var;
  struct fb_fix_screeninfo fix;
  int fd = open("/dev/fb0", O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  if (ioctl(fd, FBIOGET_VSCREENINFO, &var) != 0 || ioctl(fd, FBIOGET_FSCREENINFO, &fix) != 0) return 0;
  if (var.bits_per_pixel != 32 && var.bits_per_pixel != 16) return 0;
  line_bytes = fix.line_length;
  size_t offset = (size_t)var.yoffset * line_bytes;
  void *map = mmap(NULL, fix.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED) return 0;
  screen = (uint8_t *)map + offset;
  picture->width = var.xres;
  picture->height = var.yres;
  picture->format = var.bits_per_pixel == 16 ? RGB565 : BGRX;
  picture->stride = 0;
  picture_bytes(picture);
  shape = *picture;
  return 1;
}

void screen_copy(const struct picture *picture, uint8_t *out) {
  for (uint32_t y = 0; y < picture->height; y++)
    memcpy(out + (size_t)y * picture->stride, screen + (size_t)y * line_bytes, picture->stride);
}

/* A picture that no other looks like, so that two ways of seeing the screen can be compared. */
void screen_draw(uint32_t seed) {
  for (uint32_t y = 0; y < shape.height; y++) {
    for (uint32_t x = 0; x < shape.width; x++) {
      uint32_t r = x * 255 / shape.width, g = y * 255 / shape.height, b = (x / 16 + y / 16 + seed) % 2 * 200;
      uint8_t *at = screen + (size_t)y * line_bytes;
      if (shape.format == RGB565) ((uint16_t *)at)[x] = (uint16_t)(r >> 3 << 11 | g >> 2 << 5 | b >> 3);
      else ((uint32_t *)at)[x] = r << 16 | g << 8 | b;
    }
  }
}
