/* A binarized network, written by bnnsim; C99, integers alone.
 *
 *     const uint8_t image@SHAPE@;            channels, height, width
 *     int64_t scores[@UPPER@_CLASSES];
 *     int32_t found = @NAME@_predict(image, scores);
 *
 * The class with the largest score is found, of equal ones the lowest. scores may be 0, where they are not wanted;
 * scores[k] / 2**@EXPONENT@ is what the network computes with real numbers, rounded so that no two scores that any image
 * can give change their order; of a last layer with thresholds they are +1 and -1. Not more than @UPPER@_WORDS * 8 bytes of stack are used for activations.
 *
 * bnnsim checksum of the network: @CHECKSUM@
 */

#ifndef @UPPER@_H
#define @UPPER@_H

#include <stdint.h>

#define @UPPER@_CLASSES @CLASSES@
#define @UPPER@_VALUES @VALUES@                     /* of an image */
#define @UPPER@_OFFSET @OFFSET@                     /* is taken from each pixel */
#define @UPPER@_SCORE_EXPONENT @EXPONENT@
#define @UPPER@_LAYERS @LAYERS@
#define @UPPER@_WORDS @WORDS@

#define @UPPER@_REPLICATE 2                      /* for a pad_value: the border is repeated */

/* A unit is +1 where its sum is at least its threshold at one of the positions that are pooled; turned, if inverted. */
typedef struct {
    int32_t height, width, step;                    /* of what is read; bits of a position */
    int32_t channels, group_units;                  /* read by a unit; units that read the same ones */
    int32_t kernel_height, kernel_width, row_stride, column_stride, row_dilation, column_dilation;
    int32_t top, left, pad_value;                   /* of the padding */
    int32_t map_height, map_width, units;           /* of the sums */
    int32_t pool_height, pool_width, pool_row_stride, pool_column_stride, pool_top, pool_left;
    int32_t out_height, out_width, out_step;        /* of what comes out, after pooling; bits of a position */
    int32_t unit_words;                             /* of the weights of a unit; bit 1 is +1, bit 0 is -1 */
    const uint32_t *weights;
    const int32_t *thresholds;
    const uint8_t *inverted;
} @NAME@_layer;

/* ---- arrays ---- */
static inline int32_t @NAME@_ones(uint32_t v)
{
    v = v - ((v >> 1) & 0x55555555u);
    v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0fu;
    return (int32_t)((v * 0x01010101u) >> 24);
}

/* Where a padded place lies in the map; -1 if it is outside of it. */
static inline int32_t @NAME@_inside(const @NAME@_layer *l, int32_t at, int32_t size)
{
    if (at >= 0 && at < size)
        return at;
    if (l->pad_value != @UPPER@_REPLICATE)
        return -1;
    return at < 0 ? 0 : size - 1;
}

/* Up to 32 bits from a bit on; the others are 0. */
static inline uint32_t @NAME@_bits(const uint32_t *bits, int32_t at, int32_t n)
{
    uint32_t found = bits[at / 32] >> (at % 32);

    if (at % 32 + n > 32)
        found |= bits[at / 32 + 1] << (32 - at % 32);
    return n < 32 ? found & ((1u << n) - 1u) : found;
}

/* Sum of a tap of a unit over pixels; f is the number of its first weight. */
static inline int32_t @NAME@_tap_pixels(const @NAME@_layer *l, const uint8_t *image, const uint32_t *weights, int32_t f,
                                        int32_t first, int32_t y, int32_t x)
{
    int32_t c, sum = 0;

    for (c = 0; c < l->channels; c++, f++) {
        const int32_t at = ((first + c) * l->height + y) * l->width + x;
        const int32_t value = y < 0 || x < 0 ? l->pad_value : image[at] - @UPPER@_OFFSET;

        sum += (weights[f / 32] >> (f % 32)) & 1u ? value : -value;
    }
    return sum;
}

/* Sum of a tap of a unit over bits: agreeing ones less differing ones. */
static inline int32_t @NAME@_tap_bits(const @NAME@_layer *l, const uint32_t *bits, const uint32_t *weights,
                                      int32_t first, int32_t y, int32_t x)
{
    const int outside = y < 0 || x < 0;
    const int32_t at = (y * l->width + x) * l->step + first;
    int32_t c, w, ones = 0;

    if (outside && l->pad_value == 0)
        return 0;
    for (c = 0, w = 0; c < l->channels; c += 32, w++) {
        const int32_t n = l->channels - c < 32 ? l->channels - c : 32;

        ones += @NAME@_ones(weights[w] ^ (outside ? 0u : @NAME@_bits(bits, at + c, n)));
    }
    return outside ? l->pad_value * (2 * ones - l->channels) : l->channels - 2 * ones;
}

/* Sum of a unit at a position: of an image in the first layer, of bits in others, for which image is 0. */
static inline int32_t @NAME@_sum(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, int32_t unit,
                                 int32_t row, int32_t column)
{
    const uint32_t *weights = l->weights + (int64_t)unit * l->unit_words;
    const int32_t words = (l->channels + 31) / 32, first = unit / l->group_units * l->channels;
    int32_t i, j, tap = 0, sum = 0;

    for (i = 0; i < l->kernel_height; i++) {
        const int32_t y = @NAME@_inside(l, row * l->row_stride + i * l->row_dilation - l->top, l->height);

        for (j = 0; j < l->kernel_width; j++, tap++) {
            const int32_t x = @NAME@_inside(l, column * l->column_stride + j * l->column_dilation - l->left, l->width);

            sum += image ? @NAME@_tap_pixels(l, image, weights, tap * l->channels, first, y, x) :
                           @NAME@_tap_bits(l, bits, weights + tap * words, first, y, x);
        }
    }
    return sum;
}

/* Whether one of the sums of a unit in a window of the pool is at least its threshold. */
static inline uint32_t @NAME@_pooled(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, int32_t unit,
                                     int32_t top, int32_t left)
{
    int32_t row, column;

    for (row = top < 0 ? 0 : top; row < top + l->pool_height && row < l->map_height; row++)
        for (column = left < 0 ? 0 : left; column < left + l->pool_width && column < l->map_width; column++)
            if (@NAME@_sum(l, image, bits, unit, row, column) >= l->thresholds[unit])
                return 1;
    return 0;
}

static inline void @NAME@_hidden(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, uint32_t *out)
{
    const int32_t positions = l->out_height * l->out_width, n_words = (positions * l->out_step + 31) / 32;
    int32_t p, k, i;

    for (i = 0; i < n_words; i++)
        out[i] = 0;
    for (p = 0; p < positions; p++) {
        const int32_t top = p / l->out_width * l->pool_row_stride - l->pool_top;
        const int32_t left = p % l->out_width * l->pool_column_stride - l->pool_left;

        for (k = 0; k < l->units; k++) {
            const int32_t at = p * l->out_step + k;

            out[at / 32] |= (@NAME@_pooled(l, image, bits, k, top, left) ^ l->inverted[k]) << (at % 32);
        }
    }
}

/* What the last layer makes scores of: sums over its positions, or +1 and -1. */
static inline int32_t @NAME@_last(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, int32_t unit)
{
    int32_t row, column, sum = 0;

    if (l->thresholds)
        return @NAME@_pooled(l, image, bits, unit, 0, 0) ^ l->inverted[unit] ? 1 : -1;
    for (row = 0; row < l->map_height; row++)
        for (column = 0; column < l->map_width; column++)
            sum += @NAME@_sum(l, image, bits, unit, row, column);
    return sum;
}

static inline int32_t @NAME@_predict(const uint8_t *image, int64_t *scores)
{
    uint32_t buffers[2][@UPPER@_WORDS];
    const @NAME@_layer *last = &@NAME@_layers[@UPPER@_LAYERS - 1];
    const uint32_t *bits = 0;
    int64_t largest = 0;
    int32_t i, k, found = 0;

    for (i = 0; i < @UPPER@_LAYERS - 1; i++) {
        @NAME@_hidden(&@NAME@_layers[i], i ? 0 : image, bits, buffers[i % 2]);
        bits = buffers[i % 2];
    }
    for (k = 0; k < @UPPER@_CLASSES; k++) {
        const int64_t score = @NAME@_factors[k] * @NAME@_last(last, i ? 0 : image, bits, k) + @NAME@_terms[k];

        if (scores)
            scores[k] = score;
        if (k == 0 || score > largest) {
            largest = score;
            found = k;
        }
    }
    return found;
}

#endif
