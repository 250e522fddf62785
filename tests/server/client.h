/* client.h - how the server's own tests talk to it: through libcurl, and byte by byte. */
#ifndef TEST_SERVER_CLIENT_H
#define TEST_SERVER_CLIENT_H

#include "base/buf.h"
#include "server/start.h"

struct got {
    int code;    /* CURLcode; 0: a whole response */
    long status; /* of HTTP */
    silr_buf head, body;
    json_t *json; /* of the body; NULL: it is none */
};
void got_clear(struct got *g);

/* Both clear g first. path follows s->root; header ("Name: value") may be NULL. */
void client_post(struct got *g, const struct server *s, const char *path, const char *header,
                 const char *json);
void client_get(struct got *g, const struct server *s, const char *path, const char *header);
void client_upload(struct got *g, const struct server *s, const char *purpose, const char *data);

/* A chat request about text; more: members in front of the others, as "\"n\":2,". silr_free it. */
char *chat_body(const char *text, const char *more);
/* Sends it; the content of the first choice is borrowed from g. NULL: there is none. */
const char *client_chat(struct got *g, const struct server *s, const char *text, const char *more);

json_t *at(json_t *root, const char *path); /* "choices/0/message/content" */
const char *text_at(json_t *root, const char *path);

int raw_connect(const struct server *s);
void raw_post(int fd, const char *body); /* with "Connection: close" */
/* Reads until the other side ends or ms have passed. 0: it closed; ETIMEDOUT; or its errno. */
int raw_read(int fd, silr_buf *b, int ms);

#endif
