/*
 * Rows of a picture, out of a file that somebody else writes to (a process's memory, a memfd): read in pieces
 * that stay in the cache, compared with the picture that is there, and copied where they differ. In C because
 * comparing four megabytes word by word costs JavaScript ten times what reading them costs (measured).
 *
 * The request is eleven doubles: in, position in the file, bytes from row to row there, first byte in the
 * picture, bytes from row to row there, bytes of a row, rows, and as the last one whether the picture stays
 * as it is; out, first row that differs, the row behind the last one, first byte of a row that differs (a
 * multiple of BLOCK), the byte behind the last one.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Damage is told in blocks of so many bytes of a row. */
#define BLOCK 64

enum { POSITION, STRIDE, TO, TO_STRIDE, ROW_BYTES, ROWS, TOP, BOTTOM, LEFT, RIGHT, ONLY_LOOKS };

struct damage {
    int32_t top, bottom;
    size_t left, right;
};

static int same(const uint8_t *a, const uint8_t *b, size_t at, size_t end)
{
    return memcmp(a + at, b + at, (end - at < BLOCK ? end - at : BLOCK)) == 0;
}

/* Widens the damage by a row that differs: only what lies outside it is looked at. */
static void widen(struct damage *damage, const uint8_t *a, const uint8_t *b, size_t bytes)
{
    size_t left = 0;
    while (left < damage->left && same(a, b, left, bytes))
        left += BLOCK;
    if (left < damage->left)
        damage->left = left;
    size_t right = (bytes - 1) / BLOCK * BLOCK;
    while (right >= damage->right && right > 0 && same(a, b, right, bytes))
        right -= BLOCK;
    size_t end = right + BLOCK < bytes ? right + BLOCK : bytes;
    if (end > damage->right)
        damage->right = end;
}

/* Reads all of a piece; a negative errno, -ESRCH when the file ends before. */
static int32_t read_all(int32_t fd, uint8_t *into, size_t bytes, off_t position)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, into + done, bytes - done, position + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESRCH;
        done += (size_t)n;
    }
    return 0;
}

/* How many rows differed; -ESRCH when the file ends before the picture does (its process has ended). The
 * caller has checked that the rows lie in the picture, and that a row fits the scratch. */
int32_t vmsig_read_rows(int32_t fd, uint8_t *picture, double *request, uint8_t *scratch, int32_t scratch_bytes)
{
    size_t stride = (size_t)request[STRIDE], row_bytes = (size_t)request[ROW_BYTES];
    size_t to_stride = (size_t)request[TO_STRIDE];
    int32_t rows = (int32_t)request[ROWS], differing = 0;
    uint8_t *to = picture + (size_t)request[TO];
    off_t position = (off_t)request[POSITION];
    struct damage damage = { .top = rows, .bottom = 0, .left = row_bytes, .right = 0 };
    for (int32_t row = 0; row < rows;) {
        /* Rows that lie far apart are read one by one: what is between them would be the most of it. */
        size_t fit = stride >= 2 * row_bytes ? 1 : 1 + ((size_t)scratch_bytes - row_bytes) / stride;
        int32_t count = fit < (size_t)(rows - row) ? (int32_t)fit : rows - row;
        size_t bytes = (size_t)(count - 1) * stride + row_bytes;
        int32_t failure = read_all(fd, scratch, bytes, position);
        if (failure < 0)
            return failure;
        for (int32_t i = 0; i < count; i++, row++, to += to_stride) {
            const uint8_t *from = scratch + (size_t)i * stride;
            if (memcmp(from, to, row_bytes) == 0)
                continue;
            if (differing++ == 0)
                damage.top = row;
            damage.bottom = row + 1;
            widen(&damage, from, to, row_bytes);
            if (request[ONLY_LOOKS] == 0)
                memcpy(to, from, row_bytes);
        }
        position += (off_t)((size_t)count * stride);
    }
    request[TOP] = damage.top;
    request[BOTTOM] = damage.bottom;
    request[LEFT] = (double)damage.left;
    request[RIGHT] = (double)damage.right;
    return differing;
}
