/*
 * The place in a grey picture where a smaller one differs least, by the sum of squared differences: the same
 * place, and the same sum, as a search that compares all places (ffi/picture_search.ts says which of
 * several). In C because JavaScript took six times as long for a whole screen (measured).
 *
 * The area is cut into blocks. A block's sum is four look-ups in a summed table, and by Cauchy and Schwarz
 * the square of how far two blocks' sums are apart, by the block's pixels, is at most their difference: so
 * the blocks together bound a place's difference from below. Places are looked at 64 at a time, by 2, 8 and
 * 32 blocks, as far as the ones before do not rule all of them out; what is left is compared row by row,
 * those with the most in them first, until the sum passes what is of use. Where much is left, the area or the
 * screen has wide parts of one colour, mostly: then the sum of a place of one colour is taken from a table of
 * squares.
 *
 * The request is ten doubles: in, width and height of the scene, width and height of the area, the place that
 * it was cut out at (left, top), a sum that is of no use any more; out, left, top, sum. The caller has
 * checked that the area fits the scene and that the place is one.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

/* The loops over rows and places are written so that the compiler makes vectors of them, on any processor. */
#pragma GCC optimize("O3")

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { SCENE_WIDTH, SCENE_HEIGHT, WIDTH, HEIGHT, ORIGIN_X, ORIGIN_Y, MOST, FOUND_X, FOUND_Y, FOUND_SUM };

/* Sums this far apart count as equal. */
#define TIE 10
/* Places that are looked at together. */
#define CHUNK 64
#define MOST_BLOCKS 32
/* So many places that are compared make a table of squares worth while. */
#define MANY_PLACES 256
/* Pixels of an area whose sums of squares, by its pixels, have 64 bits; and of a block whose sum has 31. */
#define MOST_SQUARED (1 << 22)
#define MOST_IN_BLOCK (1 << 23)

/* A block: its corners in the scene's table, from a place's own, and what it adds up to. */
struct block {
    size_t left_top, right_top, left_bottom, right_bottom;
    uint32_t total;
    float share; /* one by its pixels; a little less, for what single precision may add */
};

struct blocks {
    int32_t count;
    struct block block[MOST_BLOCKS];
};

/* Without libm's, which the shim is not linked with. */
static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* The nearest place of one sum. */
struct found {
    double sum, distance;
    int32_t x, y;
    int is_there;
};

struct search {
    const uint8_t *scene, *wanted;
    int32_t scene_width, scene_height, width, height, across, down, origin_x, origin_y;
    size_t stride;         /* of the tables */
    uint32_t *sums;        /* of all pixels above and to the left of each corner, in 32 bits */
    uint64_t *squares;     /* of their squares; NULL until it is worth while */
    uint64_t area_sum, area_squares;
    int32_t *order;        /* the area's rows, those with the most in them first */
    float *lowest;         /* of each chunk, the lowest bound so far */
    int32_t chunks;        /* in a row */
    struct blocks few, some, many;
    double least;          /* the smallest sum so far */
    int64_t compared;
    struct found found[16]; /* by the sum's last bits: those of use are at most TIE apart */
};

/* A run's sum has 32 bits: 255 squared by its pixels. */
#define RUN 16384

static uint64_t row_difference(const uint8_t *restrict a, const uint8_t *restrict b, int32_t count)
{
    uint64_t sum = 0;
    for (int32_t from = 0; from < count; from += RUN) {
        int32_t end = count - from < RUN ? count : from + RUN;
        uint32_t run = 0;
        for (int32_t at = from; at < end; at++) {
            int16_t apart = (int16_t)(a[at] - b[at]);
            run += (uint32_t)(apart * apart);
        }
        sum += run;
    }
    return sum;
}

/* The sum at a place; some number above `most` when it is above that. */
static double difference(const struct search *s, int32_t x, int32_t y, double most)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < s->height; i++) {
        int32_t row = s->order[i];
        const uint8_t *from = s->scene + (size_t)(y + row) * (size_t)s->scene_width + x;
        sum += row_difference(from, s->wanted + (size_t)row * (size_t)s->width, s->width);
        if ((double)sum > most)
            break;
    }
    return (double)sum;
}

static uint64_t in_place(const uint64_t *table, const struct search *s, int32_t x, int32_t y)
{
    const uint64_t *top = table + (size_t)y * s->stride + x, *bottom = top + (size_t)s->height * s->stride;
    return bottom[s->width] - bottom[0] - top[s->width] + top[0];
}

/* The same, by the table where the place or the area is of one colour. */
static double sum_at(struct search *s, int32_t x, int32_t y, double most)
{
    s->compared++;
    if (s->squares == NULL)
        return difference(s, x, y, most);
    const uint32_t *top = s->sums + (size_t)y * s->stride + x, *bottom = top + (size_t)s->height * s->stride;
    uint64_t sum = (uint32_t)(bottom[s->width] - bottom[0] - top[s->width] + top[0]);
    uint64_t squares = in_place(s->squares, s, x, y), pixels = (uint64_t)s->width * (uint64_t)s->height;
    if (pixels * squares != sum * sum && pixels * s->area_squares != s->area_sum * s->area_sum)
        return difference(s, x, y, most);
    /* The pixels of one of the two are all the same: the products add up to the sums' by their number. */
    return (double)(squares + s->area_squares - 2 * (sum * s->area_sum / pixels));
}

static void make_sums(struct search *s)
{
    for (size_t x = 0; x < s->stride; x++)
        s->sums[x] = 0;
    const uint8_t *from = s->scene;
    uint32_t *to = s->sums + s->stride;
    for (int32_t y = 0; y < s->scene_height; y++, to += s->stride, from += s->scene_width) {
        const uint32_t *above = to - s->stride;
        uint32_t row = 0;
        to[0] = 0;
        for (int32_t x = 0; x < s->scene_width; x++) {
            row += from[x];
            to[x + 1] = above[x + 1] + row;
        }
    }
    /* A chunk that ends beyond its row reads on. */
    for (int i = 0; i < CHUNK; i++)
        to[i] = 0;
}

/* Without memory for it all is compared pixel by pixel. */
static void make_squares(struct search *s)
{
    if ((int64_t)s->width * s->height > MOST_SQUARED)
        return;
    uint64_t *squares = calloc(s->stride * ((size_t)s->scene_height + 1), sizeof *squares);
    if (squares == NULL)
        return;
    const uint8_t *from = s->scene;
    uint64_t *to = squares + s->stride;
    for (int32_t y = 0; y < s->scene_height; y++, to += s->stride, from += s->scene_width) {
        const uint64_t *above = to - s->stride;
        uint64_t row = 0;
        for (int32_t x = 0; x < s->scene_width; x++) {
            row += (uint64_t)from[x] * from[x];
            to[x + 1] = above[x + 1] + row;
        }
    }
    for (int64_t i = 0; i < (int64_t)s->width * s->height; i++) {
        s->area_sum += s->wanted[i];
        s->area_squares += (uint64_t)s->wanted[i] * s->wanted[i];
    }
    s->squares = squares;
}

/* Orders the rows by how much they differ from one colour. */
static void order_rows(struct search *s, double *content)
{
    const uint8_t *row = s->wanted;
    for (int32_t y = 0; y < s->height; y++, row += s->width) {
        double sum = 0, squares = 0;
        for (int32_t x = 0; x < s->width; x++) {
            sum += row[x];
            squares += row[x] * row[x];
        }
        double here = squares - sum * sum / s->width;
        int32_t at = y;
        for (; at > 0 && content[at - 1] < here; at--) {
            content[at] = content[at - 1];
            s->order[at] = s->order[at - 1];
        }
        content[at] = here;
        s->order[at] = y;
    }
}

/* Cuts the area into blocks; into none when their sums would not fit. */
static void cut(const struct search *s, struct blocks *blocks, int32_t across, int32_t down)
{
    int32_t columns = s->width < across ? s->width : across, rows = s->height < down ? s->height : down;
    blocks->count = 0;
    for (int32_t row = 0; row < rows; row++) {
        int64_t top = (int64_t)row * s->height / rows, bottom = (int64_t)(row + 1) * s->height / rows;
        for (int32_t column = 0; column < columns; column++) {
            int64_t left = (int64_t)column * s->width / columns;
            int64_t right = (int64_t)(column + 1) * s->width / columns;
            int64_t pixels = (bottom - top) * (right - left);
            if (pixels > MOST_IN_BLOCK)
                continue;
            struct block *block = &blocks->block[blocks->count++];
            size_t stride = s->stride;
            block->left_top = (size_t)top * stride + (size_t)left;
            block->right_top = (size_t)top * stride + (size_t)right;
            block->left_bottom = (size_t)bottom * stride + (size_t)left;
            block->right_bottom = (size_t)bottom * stride + (size_t)right;
            block->share = (1 - 1e-5f) / (float)pixels;
            block->total = 0;
            for (int64_t y = top; y < bottom; y++)
                for (int64_t x = left; x < right; x++)
                    block->total += s->wanted[y * s->width + x];
        }
    }
}

/* What one block adds to the bounds of a chunk of places. */
static void add_bounds(const uint32_t *restrict from, const struct block *block, float *restrict bounds)
{
    const uint32_t *left_top = from + block->left_top, *right_top = from + block->right_top;
    const uint32_t *left_bottom = from + block->left_bottom, *right_bottom = from + block->right_bottom;
    const uint32_t total = block->total;
    const float share = block->share;
    for (int32_t i = 0; i < CHUNK; i++) {
        uint32_t sum = right_bottom[i] - left_bottom[i] - (right_top[i] - left_top[i]);
        float apart = (float)(int32_t)(sum - total);
        bounds[i] += apart * apart * share;
    }
}

/* The bounds of a chunk of places, of which `count` there are; the lowest of them. */
static float bounds_of(const uint32_t *from, const struct blocks *blocks, int32_t count, float *restrict bounds)
{
    for (int32_t i = 0; i < CHUNK; i++)
        bounds[i] = 0;
    for (int32_t b = 0; b < blocks->count; b++)
        add_bounds(from, &blocks->block[b], bounds);
    for (int32_t i = count; i < CHUNK; i++)
        bounds[i] = FLT_MAX;
    float lowest = bounds[0];
    for (int32_t i = 1; i < CHUNK; i++)
        lowest = bounds[i] < lowest ? bounds[i] : lowest;
    return lowest;
}

static int32_t at_lowest(const float *bounds, float lowest)
{
    int32_t at = 0;
    while (bounds[at] != lowest)
        at++;
    return at;
}

/* A chunk by all blocks, as far as it is not ruled out; the lowest bound, above the limit when it is. */
static float look_closer(struct search *s, int32_t x, int32_t y, float limit, float *bounds)
{
    const uint32_t *from = s->sums + (size_t)y * s->stride + x;
    int32_t count = s->across - x < CHUNK ? s->across - x : CHUNK;
    float lowest = bounds_of(from, &s->some, count, bounds);
    return lowest > limit ? lowest : bounds_of(from, &s->many, count, bounds);
}

/* A float that is not below a sum. */
static float above(double sum)
{
    return sum >= FLT_MAX ? FLT_MAX : (float)(sum * (1 + 1e-6)) + 1;
}

static void keep(struct search *s, int32_t x, int32_t y, double sum)
{
    double across = x - s->origin_x, down = y - s->origin_y, distance = across * across + down * down;
    struct found *found = &s->found[(uint64_t)sum & 15];
    if (sum < s->least)
        s->least = sum;
    if (found->is_there && found->sum == sum && found->distance <= distance)
        return;
    *found = (struct found){ .sum = sum, .distance = distance, .x = x, .y = y, .is_there = 1 };
}

static void compare_all(struct search *s)
{
    float bounds[CHUNK];
    const float *chunk = s->lowest;
    for (int32_t y = 0; y < s->down; y++) {
        for (int32_t x = 0; x < s->across; x += CHUNK, chunk++) {
            float limit = above(s->least + TIE);
            if (*chunk > limit || look_closer(s, x, y, limit, bounds) > limit)
                continue;
            for (int32_t i = 0; i < CHUNK && x + i < s->across; i++) {
                if (bounds[i] > above(s->least + TIE))
                    continue;
                double sum = sum_at(s, x + i, y, s->least + TIE);
                if (sum <= s->least + TIE)
                    keep(s, x + i, y, sum);
                if (s->compared == MANY_PLACES)
                    make_squares(s);
            }
        }
    }
}

/* Looks for the place that is likeliest by the blocks; `closer`: by all of them. Notes what is ruled out. */
static void likeliest(struct search *s, int closer, int32_t *found_x, int32_t *found_y)
{
    float bounds[CHUNK], best = FLT_MAX, limit = above(s->least + TIE);
    float *chunk = s->lowest;
    for (int32_t y = 0; y < s->down; y++) {
        for (int32_t x = 0; x < s->across; x += CHUNK, chunk++) {
            if (!closer) {
                int32_t count = s->across - x < CHUNK ? s->across - x : CHUNK;
                *chunk = bounds_of(s->sums + (size_t)y * s->stride + x, &s->few, count, bounds);
            } else if (*chunk <= limit) {
                *chunk = look_closer(s, x, y, limit, bounds);
            }
            if (*chunk >= best || *chunk > limit)
                continue;
            best = *chunk;
            *found_x = x + at_lowest(bounds, best);
            *found_y = y;
        }
    }
}

static void find_area(struct search *s, double *request)
{
    struct found best = { .x = s->origin_x, .y = s->origin_y };
    best.sum = difference(s, best.x, best.y, INFINITY);
    if (best.sum > 0) {
        s->least = smaller(request[MOST], best.sum);
        make_sums(s);
        cut(s, &s->few, 2, 1);
        cut(s, &s->some, 4, 2);
        cut(s, &s->many, 8, 4);
        for (int closer = 0; closer < 2; closer++) {
            int32_t x = s->origin_x, y = s->origin_y;
            likeliest(s, closer, &x, &y);
            s->least = smaller(s->least, difference(s, x, y, s->least));
        }
        compare_all(s);
        int is_there = 0;
        for (int i = 0; i < 16; i++) {
            const struct found *found = &s->found[i];
            if (!found->is_there || found->sum > s->least + TIE)
                continue;
            int is_first = found->y < best.y || (found->y == best.y && found->x < best.x);
            if (!is_there || found->distance < best.distance || (found->distance == best.distance && is_first))
                best = *found;
            is_there = 1;
        }
    }
    request[FOUND_X] = best.x;
    request[FOUND_Y] = best.y;
    request[FOUND_SUM] = best.sum;
}

/* 0, or -ENOMEM. */
int32_t vmsig_find_area(const uint8_t *scene, const uint8_t *wanted, double *request)
{
    struct search s = { .scene = scene, .wanted = wanted };
    s.scene_width = (int32_t)request[SCENE_WIDTH];
    s.scene_height = (int32_t)request[SCENE_HEIGHT];
    s.width = (int32_t)request[WIDTH];
    s.height = (int32_t)request[HEIGHT];
    s.origin_x = (int32_t)request[ORIGIN_X];
    s.origin_y = (int32_t)request[ORIGIN_Y];
    s.across = s.scene_width - s.width + 1;
    s.down = s.scene_height - s.height + 1;
    s.stride = (size_t)s.scene_width + 1;
    s.chunks = (s.across + CHUNK - 1) / CHUNK;
    s.sums = malloc((s.stride * ((size_t)s.scene_height + 1) + CHUNK) * sizeof *s.sums);
    s.order = malloc((size_t)s.height * sizeof *s.order);
    s.lowest = malloc((size_t)s.chunks * (size_t)s.down * sizeof *s.lowest);
    double *content = malloc((size_t)s.height * sizeof *content);
    int32_t result = -ENOMEM;
    if (s.sums != NULL && s.order != NULL && s.lowest != NULL && content != NULL) {
        order_rows(&s, content);
        find_area(&s, request);
        result = 0;
    }
    free(content);
    free(s.lowest);
    free(s.order);
    free(s.squares);
    free(s.sums);
    return result;
}
