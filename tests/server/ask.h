/* ask.h - what a body of /v1/chat/completions asks for: between ask.c and chat.c. */
#ifndef TEST_SERVER_ASK_H
#define TEST_SERVER_ASK_H

#include "server.h"

struct ask {
    json_t *root;
    const char *model;          /* of root */
    silr_buf user;              /* the last user message, its parts joined */
    silr_buf before;            /* the assistant's turn just before it; empty: there was none */
    size_t chars;               /* of all messages */
    int64_t n, top, max_tokens; /* max_tokens -1: not said */
    bool logprobs, schema;      /* schema: a JSON object is wanted */
    bool sampled;               /* temperature is not 0 */
    char field[64];             /* of that object */
};

/* false: a holds the 400. */
bool ask_read(struct ask *q, struct answer *a, const char *body, size_t len);
void ask_clear(struct ask *q);

#endif
