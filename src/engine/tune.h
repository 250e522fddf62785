/* tune.h - fine-tuning: an engine whose texts get scores, and what of it is trained.
 *
 *     score_c = w_c . pooled(states of the text) + b_c
 *
 * Trained are the head w, b and, as asked, LoRA factors of any matrices of the blocks,
 *
 *     y = W x + b + scale B A dropout(x),   A [rank][in], B [out][rank],   scale = alpha / rank
 *
 * (Hu et al., ICLR 2022; with a 4-bit W: QLoRA, Dettmers et al., NeurIPS 2023), the norms, the
 * embeddings, or all matrices themselves. All of that lies in one flat block of floats with a table
 * of names, its gradient in another.
 *
 *     silr_tune *t;
 *     silr_tune_new(&t, engine, &opts, err);
 *     silr_tune_draw(t, seed);
 *     silr_tune_forward(t, &batch, scores, err);        scores [n][columns]; activations are kept
 *     silr_tune_backward(t, dscores, err);              adds to the gradient
 *
 * Texts are packed without padding; a text's score depends on nothing but the text (and its number,
 * which draws its dropout). Scores and gradients are the same bits for any number of threads.
 *
 * What is kept for the way back is bounded: beyond `memory` bytes the layers' activations are
 * computed again from their inputs when they are needed; a batch that does not fit even so is the
 * caller's to cut (silr_tune_fits). */
#ifndef SILR_ENGINE_TUNE_H
#define SILR_ENGINE_TUNE_H

#include "engine/engine.h"

/* The rank of the LoRA factors of one matrix; 0: it has none. */
typedef struct {
    size_t rank;
    double scale;
} silr_tune_rank;

typedef struct {
    size_t columns;          /* scores a text */
    bool head_bias;
    silr_pooling pooling;    /* NONE: the last token of a decoder, else what the model says */
    uint32_t targets;        /* LoRA on these: 1u << SILR_PART_Q, ...; one that the model lacks is left out */
    silr_tune_rank lora;          /* of each target */
    const silr_tune_rank *each;   /* [layers][SILR_PARTS], in place of targets and lora; NULL */
    double dropout;          /* before A, in training */
    bool norms, embeddings;  /* trained too */
    bool matrices;           /* all matrices of the blocks themselves (then without LoRA) */
    bool train;              /* false: scores only, no gradient, no second copy of matrices */
    size_t memory;           /* bytes for what is kept for the way back; 0: 3.5 GiB, or half of what is free */
    size_t sharers;          /* processes that take such a half on this machine; 0: one */
} silr_tune_opts;

typedef enum { SILR_TUNED_LORA_A, SILR_TUNED_LORA_B, SILR_TUNED_WEIGHT, SILR_TUNED_BIAS } silr_tuned_what;
typedef struct {
    char name[64];           /* "layers.3.q.lora_a", "head.weight" */
    silr_part part;          /* of the matrix or norm; SILR_PARTS: the head */
    size_t layer;
    silr_tuned_what what;
    size_t offset, rows, columns; /* rows x columns floats in the block */
} silr_tuned;

typedef struct silr_tune silr_tune;
/* Parameters are as the model has them; LoRA's and the head's are zeros. Borrows e, which is given what
 * backward passes need of it (opts->train). SILR_EINPUT: opts that make no sense for this model. */
silr_status silr_tune_new(silr_tune **out, silr_engine *e, const silr_tune_opts *opts, silr_error *err);
void silr_tune_free(silr_tune *t);
/* A fresh start: A uniform within 1/sqrt(in) as PEFT draws it (Kaiming), B 0, the head normal with
 * deviation 0.02, all else as the model has it. */
void silr_tune_draw(silr_tune *t, uint64_t seed);
float *silr_tune_params(silr_tune *t, size_t *n);
float *silr_tune_gradient(silr_tune *t); /* [n] */
const silr_tuned *silr_tune_table(const silr_tune *t, size_t *n);
const silr_engine *silr_tune_engine(const silr_tune *t);
silr_pooling silr_tune_pooling(const silr_tune *t); /* in force: not NONE */
double silr_tune_scale(const silr_tune *t, size_t layer, silr_part part); /* of its LoRA; 0: it has none */

typedef struct {
    const uint32_t *ids;     /* of text i: ids[start[i] .. start[i + 1]) */
    const size_t *start;
    size_t n;
    const uint32_t *number;  /* what each text is called, for its dropout; NULL: without dropout */
    uint64_t key;            /* of the step, for dropout */
} silr_tune_batch;

/* Scores of any number of texts, nothing kept: out [n][columns]. With numbers and the same key they are those
 * of silr_tune_forward to the bit. */
silr_status silr_tune_scores(silr_tune *t, const silr_tune_batch *b, float *out, silr_error *err);
/* How many of n texts, from the first, can be kept for the way back at once: at least 1. */
size_t silr_tune_fits(const silr_tune *t, const size_t *start, size_t n);
silr_status silr_tune_forward(silr_tune *t, const silr_tune_batch *b, float *out, silr_error *err);
/* Of the texts of the last forward: gradient += sum over them of dscores [n][columns] by parameters. */
silr_status silr_tune_backward(silr_tune *t, const float *dscores, silr_error *err);

/* Bytes that training will need beside the engine's weights for batches of `tokens` tokens: parameters, their
 * gradient and moments, work; what is kept comes on top, up to opts->memory. Known before anything is made. */
size_t silr_tune_bytes(const silr_model_spec *s, const silr_tune_opts *opts, size_t tokens);
/* What a batch keeps for its way back if all of it is kept. */
size_t silr_tune_kept_bytes(const silr_model_spec *s, size_t tokens);

#endif
