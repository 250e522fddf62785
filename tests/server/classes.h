/* classes.h - class names as rows of tokens: between classes.c and tokens.c. */
#ifndef TEST_SERVER_CLASSES_H
#define TEST_SERVER_CLASSES_H

#include "base/mem.h"
#include "tokens.h"

enum { CLASS_BYTES = 120, TOKEN_BYTES = 4 };

struct class_tokens {
    char *name;
    size_t len;
    unsigned n;                   /* tokens */
    uint16_t at[CLASS_BYTES + 1]; /* where each begins; [n]: the end */
    int group[CLASS_BYTES + 1];   /* who else has tokens 0..d; [n]: nobody, it has ended */
};
const struct class_tokens *class_tokens(int k);
bool class_shares(int j, int k, unsigned d);    /* their first d tokens are the same */
size_t token_length(const char *s, size_t len); /* of the first token of s */

#endif
