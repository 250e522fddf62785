/* rope.c - rotary positions: how far each pair of values turns from one token to the next.
 *
 * Pair i of d/2 turns by  w_i = theta^(-2i/d)  a position. Models stretched to longer texts turn
 * more slowly: all pairs by a factor (linear), or, as Llama 3 does, only those whose wave
 * l_i = 2 pi / w_i is long against the length L that the model was first trained on:
 *
 *     l_i > L / low           w_i / factor
 *     l_i < L / high          w_i
 *     between                 (1 - s) w_i / factor + s w_i,   s = (L / l_i - low) / (high - low)
 *
 * A GGUF file may have the quotients w_i / w_i' as a table instead (rope_freqs). */
#include "engine/inside.h"
#include <math.h>

static double stretched(const silr_model_spec *s, double w)
{
    const double pi = 3.14159265358979323846;
    const double wave = 2 * pi / w, length = (double)s->rope_original;

    if (s->rope_scaling == SILR_ROPE_LINEAR)
        return w / s->rope_factor;
    if (s->rope_scaling != SILR_ROPE_LLAMA3 || wave < length / s->rope_high)
        return w;
    if (wave > length / s->rope_low)
        return w / s->rope_factor;
    const double share = (length / wave - s->rope_low) / (s->rope_high - s->rope_low);
    return (1 - share) * w / s->rope_factor + share * w;
}

void silr_rope_turns(const silr_model_spec *s, const float *factors, bool local, float *out)
{
    const bool plain = local && s->rope_theta_local > 0; /* Gemma 3: windows are never stretched */
    const double theta = plain ? s->rope_theta_local : s->rope_theta;

    for (size_t i = 0; i < s->rope_dims / 2; i++) {
        double w = pow(theta, -2.0 * (double)i / (double)s->rope_dims);
        if (factors && !plain)
            w /= (double)factors[i];
        out[i] = (float)(plain || factors ? w : stretched(s, w));
    }
}

void silr_rope_table(const float *turns, size_t dims, size_t rows, float *table)
{
    for (size_t p = 0; p < rows; p++)
        for (size_t i = 0; i < dims / 2; i++) {
            const double angle = (double)((float)p * turns[i]); /* the peers' precision */
            table[p * dims + 2 * i] = (float)cos(angle);
            table[p * dims + 2 * i + 1] = (float)sin(angle);
        }
}
