/* tokens.h - what is said, token by token, and what might have been said instead. */
#ifndef TEST_SERVER_TOKENS_H
#define TEST_SERVER_TOKENS_H

#include "server.h"

enum { CLASSES_MOST = 256 };

void classes_set(const char *list); /* "a,b,c"; exits with 2 when there are none or too many */
int classes_count(void);
const char *class_name(int k);
int class_find(const char *s, size_t len); /* -1: none of them */

/* How probable each class is when the text with this hash is answered with class k: w[K], sum 1.
 * Saying the tokens of class k is then, at each of them, the most probable thing to say. */
void class_weights(uint64_t hash, int k, double *w);

struct said {
    silr_buf text;
    struct token {
        uint32_t at, len;
        int depth; /* how many tokens of the class came before it; -1: not part of one */
    } * token;
    size_t n, cap;
    int k;           /* the class that is said; -1: none */
    const double *w; /* of the classes, borrowed */
    uint64_t hash;
    bool json; /* the class stands in a JSON string */
};

void said_words(struct said *s, const char *words, size_t len); /* cut into tokens */
void said_token(struct said *s, const char *token);             /* one token */
void said_class(struct said *s);                                /* s->k, and "} after it if json */
void said_cut(struct said *s, size_t tokens);                   /* drops what comes later */
void said_clear(struct said *s);

/* The list that goes under "content": an object a token, each with `top` alternatives. */
void logprobs_write(silr_buf *b, const struct said *s, size_t top);

#endif
