/* A binarized network, written by bnnsim; C99, integers alone.
 *
 *     const uint8_t image@SHAPE@;            channels, height, width
 *     int64_t scores[@UPPER@_CLASSES];
 *     int32_t found = @NAME@_predict(image, scores);
 *
 * The class with the largest score is found, of equal ones the lowest. scores may be 0, where they are not wanted;
 * scores[k] / 2**@EXPONENT@ is what the network computes with real numbers, rounded so that no two scores that any image
 * can give change their order. Not more than @UPPER@_WORDS * 8 bytes of stack are used for activations.
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

/* A unit is +1 where its sum is at least its threshold at one of the positions that are pooled; turned, if inverted. */
typedef struct {
    int32_t height, width, channels;                /* of what is read */
    int32_t kernel_height, kernel_width, stride, padding, pad_value, pool;
    int32_t out_height, out_width, units, step;     /* of what comes out, after pooling; bits of a position */
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

/* Sum of a unit at a position of pixels. */
static inline int32_t @NAME@_sum_pixels(const @NAME@_layer *l, const uint8_t *image, int32_t unit, int32_t row,
                                        int32_t column)
{
    const uint32_t *weights = l->weights + (int64_t)unit * l->unit_words;
    int32_t i, j, c, f = 0, sum = 0;

    for (i = 0; i < l->kernel_height; i++) {
        for (j = 0; j < l->kernel_width; j++) {
            const int32_t y = row * l->stride + i - l->padding, x = column * l->stride + j - l->padding;
            const int inside = y >= 0 && y < l->height && x >= 0 && x < l->width;

            for (c = 0; c < l->channels; c++, f++) {
                const int32_t value = inside ? image[(c * l->height + y) * l->width + x] - @UPPER@_OFFSET : l->pad_value;

                sum += (weights[f / 32] >> (f % 32)) & 1u ? value : -value;
            }
        }
    }
    return sum;
}

/* Sum of a unit at a position of bits: agreeing ones less differing ones. */
static inline int32_t @NAME@_sum_bits(const @NAME@_layer *l, const uint32_t *bits, int32_t unit, int32_t row,
                                      int32_t column)
{
    const uint32_t *weights = l->weights + (int64_t)unit * l->unit_words;
    const int32_t words = (l->channels + 31) / 32;
    int32_t i, j, w, sum = 0;

    for (i = 0; i < l->kernel_height; i++) {
        for (j = 0; j < l->kernel_width; j++, weights += words) {
            const int32_t y = row * l->stride + i - l->padding, x = column * l->stride + j - l->padding;
            int32_t ones = 0;

            if (y >= 0 && y < l->height && x >= 0 && x < l->width) {
                const uint32_t *at = bits + (y * l->width + x) * words;

                for (w = 0; w < words; w++)
                    ones += @NAME@_ones(weights[w] ^ at[w]);
                sum += l->channels - 2 * ones;
            } else if (l->pad_value != 0) {
                for (w = 0; w < words; w++)
                    ones += @NAME@_ones(weights[w]);
                sum += l->pad_value * (2 * ones - l->channels);
            }
        }
    }
    return sum;
}

/* Of the first layer, which reads an image, or of another, for which that is 0. */
static inline int32_t @NAME@_sum(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, int32_t unit,
                                 int32_t row, int32_t column)
{
    return image ? @NAME@_sum_pixels(l, image, unit, row, column) : @NAME@_sum_bits(l, bits, unit, row, column);
}

static inline void @NAME@_hidden(const @NAME@_layer *l, const uint8_t *image, const uint32_t *bits, uint32_t *out)
{
    const int32_t positions = l->out_height * l->out_width, n_words = (positions * l->step + 31) / 32;
    int32_t p, k, i;

    for (i = 0; i < n_words; i++)
        out[i] = 0;
    for (p = 0; p < positions; p++) {
        const int32_t top = p / l->out_width * l->pool, left = p % l->out_width * l->pool;

        for (k = 0; k < l->units; k++) {
            const int32_t at = p * l->step + k;
            uint32_t bit = 0;

            for (i = 0; i < l->pool * l->pool && !bit; i++)
                bit = @NAME@_sum(l, image, bits, k, top + i / l->pool, left + i % l->pool) >= l->thresholds[k];
            out[at / 32] |= (bit ^ l->inverted[k]) << (at % 32);
        }
    }
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
        const int64_t score = @NAME@_factors[k] * @NAME@_sum(last, i ? 0 : image, bits, k, 0, 0) + @NAME@_terms[k];

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
