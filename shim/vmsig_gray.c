/*
 * A part of a picture in grey, blurred: what needles are compared in (src/testing/gray_picture.ts says by
 * which rule, and why). In C, because with the search of vmsig_area.c it takes a sixth of what it took
 * JavaScript (measured).
 *
 * The request is: width and height of the picture; left, top, width and height of the part, which the caller
 * has checked; how many rectangles count as one colour; and left, top, right and bottom of each, which lie on
 * the picture.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

/* The loops over a row are written so that the compiler makes vectors of them, on any processor. */
#pragma GCC optimize("O3")

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH, HEIGHT, LEFT, TOP, PART_WIDTH, PART_HEIGHT, EXCLUDED, RECTANGLES };

/* BT.601 in 15 bits. */
enum { RED = 9798, GREEN = 19235, BLUE = 3735, SHIFT = 15, HALF = 1 << (SHIFT - 1) };
/* What an excluded part is painted with: green. */
#define PAINT ((GREEN * 255 + HALF) >> SHIFT)

static void gray_pixels(const uint8_t *restrict rgba, uint8_t *restrict gray, int32_t count)
{
    for (int32_t at = 0; at < count; at++) {
        const uint8_t *pixel = rgba + 4 * (size_t)at;
        gray[at] = (uint8_t)((RED * pixel[0] + GREEN * pixel[1] + BLUE * pixel[2] + HALF) >> SHIFT);
    }
}

/* A place in a line, mirrored at its ends without repeating the last one. */
static int32_t mirrored(int32_t at, int32_t size)
{
    if (size == 1)
        return 0;
    return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
}

/* One row of the part in grey, with one pixel more on each side. */
static void gray_row(const uint8_t *rgba, const int32_t *request, int32_t row, uint8_t *out)
{
    int32_t width = request[WIDTH], left = request[LEFT], part = request[PART_WIDTH];
    int32_t y = mirrored(row, request[HEIGHT]);
    int32_t from = left > 0 ? left - 1 : 0, to = left + part < width ? left + part + 1 : width;
    int32_t first = 1 - left; /* where the picture's first column would be */
    gray_pixels(rgba + 4 * ((size_t)y * (size_t)width + (size_t)from), out + first + from, to - from);
    const int32_t *rectangle = request + RECTANGLES;
    for (int32_t i = 0; i < request[EXCLUDED]; i++, rectangle += 4) {
        if (y < rectangle[1] || y >= rectangle[3])
            continue;
        int32_t begin = rectangle[0] > from ? rectangle[0] : from, end = rectangle[2] < to ? rectangle[2] : to;
        if (begin < end)
            memset(out + first + begin, PAINT, (size_t)(end - begin));
    }
    if (left == 0)
        out[0] = out[first + mirrored(-1, width)];
    if (left + part == width)
        out[part + 1] = out[first + mirrored(width, width)];
}

/* The 3x3 binomial blur of a row: `count` pixels of it, from `count` and two more of each row. */
static void blur_row(const uint8_t *restrict above, const uint8_t *restrict row, const uint8_t *restrict below,
                     uint16_t *restrict sums, uint8_t *restrict out, int32_t count)
{
    for (int32_t at = 0; at < count + 2; at++)
        sums[at] = (uint16_t)(above[at] + 2 * row[at] + below[at]);
    for (int32_t at = 0; at < count; at++)
        out[at] = (uint8_t)((sums[at] + 2 * sums[at + 1] + sums[at + 2] + 8) >> 4);
}

/* 0, or -ENOMEM. `gray` has a byte for each pixel of the part. */
int32_t vmsig_gray_part(const uint8_t *rgba, const int32_t *request, uint8_t *gray)
{
    int32_t width = request[PART_WIDTH], height = request[PART_HEIGHT], top = request[TOP];
    size_t wide = (size_t)width + 2;
    uint16_t *sums = malloc(wide * (sizeof *sums + 3));
    if (sums == NULL)
        return -ENOMEM;
    uint8_t *rows[3];
    for (int i = 0; i < 3; i++)
        rows[i] = (uint8_t *)(sums + wide) + (size_t)i * wide;
    gray_row(rgba, request, top - 1, rows[0]);
    gray_row(rgba, request, top, rows[1]);
    for (int32_t row = 0; row < height; row++, gray += width) {
        gray_row(rgba, request, top + row + 1, rows[2]);
        blur_row(rows[0], rows[1], rows[2], sums, gray, width);
        uint8_t *free_row = rows[0];
        rows[0] = rows[1];
        rows[1] = rows[2];
        rows[2] = free_row;
    }
    free(sums);
    return 0;
}
