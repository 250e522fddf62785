/* tokenizer.h - text to token ids as a model's own tokenizer makes them, and back.
 *
 * Reads tokenizer.json (and tokenizer_config.json beside it) of a folder, or the vocabulary inside a
 * GGUF file: byte-level BPE, SentencePiece BPE and unigram, WordPiece. A tokenizer is read-only; any
 * number of threads may use one.
 *
 * Text can never become a special token, whatever words it holds, unless the caller says that the
 * text is its own (`trusted`).
 *
 *     silr_tokenizer *t;
 *     silr_tokens ids = {0};
 *     if ((st = silr_tokenizer_open(&t, "models/all-MiniLM-L6-v2", err)) == SILR_OK &&
 *         (st = silr_tokenizer_encode(t, text, len, &(silr_encode_opts){.frame = true}, &ids, err)) == SILR_OK)
 *         use(ids.id, ids.n);
 *     silr_tokens_clear(&ids); */
#ifndef SILR_TOKENIZER_H
#define SILR_TOKENIZER_H

#include "base/base.h"

typedef struct silr_tokenizer silr_tokenizer;

/* A growing list of ids; the owner calls silr_tokens_clear. */
typedef struct {
    uint32_t *id;
    size_t n, cap;
} silr_tokens;
void silr_tokens_clear(silr_tokens *t);
silr_status silr_tokens_add(silr_tokens *t, uint32_t id, silr_error *err);

/* path: a folder with tokenizer.json, such a file, or a GGUF file. SILR_EINPUT: missing, broken, or
 * of a kind that silr does not know; err says what and where. */
silr_status silr_tokenizer_open(silr_tokenizer **out, const char *path, silr_error *err);
/* The bytes of a tokenizer.json, and of a tokenizer_config.json or NULL (fuzzing, tests). */
silr_status silr_tokenizer_parse(silr_tokenizer **out, const char *json, size_t len,
                                 const char *config, size_t config_len, const char *name,
                                 silr_error *err);
void silr_tokenizer_free(silr_tokenizer *t);

typedef struct {
    bool frame;         /* with the special tokens that the model puts round a text: [CLS] .. [SEP], BOS */
    bool trusted;       /* words of special tokens in the text become these tokens */
    size_t max_tokens;  /* cut the text, never the frame, so that no more come out; 0: all */
} silr_encode_opts;
/* Adds the ids of text to out (which is not cleared). opts NULL: all false and 0. What is not UTF-8
 * is taken as U+FFFD, one for each part that could have begun a character, as the peers do.
 * SILR_EINPUT: max_tokens leaves no room for the frame. */
silr_status silr_tokenizer_encode(const silr_tokenizer *t, const char *text, size_t len,
                                  const silr_encode_opts *opts, silr_tokens *out, silr_error *err);

size_t silr_tokenizer_vocab(const silr_tokenizer *t); /* ids are below it */
/* The bytes that a token stands for in the middle of a text ("Ġyes" is " yes"); special tokens stand
 * for their names. Borrowed. NULL: no such id. */
const char *silr_tokenizer_piece(const silr_tokenizer *t, uint32_t id, size_t *len);
bool silr_tokenizer_is_special(const silr_tokenizer *t, uint32_t id);
/* Adds the text of the ids; special tokens are left out. */
silr_status silr_tokenizer_decode(const silr_tokenizer *t, const uint32_t *id, size_t n, silr_buf *out,
                                  silr_error *err);
/* The id of a special or added token by its name, or -1. */
int64_t silr_tokenizer_special(const silr_tokenizer *t, const char *name);
int64_t silr_tokenizer_bos(const silr_tokenizer *t); /* -1: none */
int64_t silr_tokenizer_eos(const silr_tokenizer *t);
/* Does this token end what a model says (EOS, <|im_end|>, <|eot_id|>, <end_of_turn>)? */
bool silr_tokenizer_ends(const silr_tokenizer *t, uint32_t id);

/* --- conversations --------------------------------------------------------------------------- */

/* The known ways to write a conversation. The template of a model (a program in Jinja) is never run:
 * it is recognised by marks that only one of these has, or else the user names one. */
typedef enum {
    SILR_TALK_NONE, /* base models: the texts alone, a blank line between */
    SILR_TALK_CHATML, SILR_TALK_LLAMA2, SILR_TALK_LLAMA3, SILR_TALK_MISTRAL, SILR_TALK_GEMMA,
    SILR_TALK_PHI3, SILR_TALK_ZEPHYR, SILR_TALK_UNKNOWN
} silr_talk;
const char *silr_talk_name(silr_talk talk); /* "chatml"; NULL past the last */
silr_talk silr_tokenizer_talk(const silr_tokenizer *t); /* as recognised */

typedef enum { SILR_ROLE_SYSTEM, SILR_ROLE_USER, SILR_ROLE_ASSISTANT } silr_role;
typedef struct {
    silr_role role;
    const char *text;
    size_t len;
} silr_turn;
/* Adds the ids of a conversation; `open`: and of the beginning of the assistant's next turn. `from`:
 * turns before it are left out (their ids are known), so that the shared beginning of many
 * conversations is encoded once: encode(0..m) ++ encode(from = m) = encode(0..n). What the texts hold
 * never becomes a special token. Formats without a system role put it before the first user's text.
 * SILR_EINPUT: talk is UNKNOWN, or the vocabulary lacks a token that it needs. */
silr_status silr_tokenizer_talk_encode(const silr_tokenizer *t, silr_talk talk, const silr_turn *turn,
                                       size_t from, size_t n, bool open, silr_tokens *out,
                                       silr_error *err);

#endif
