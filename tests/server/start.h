/* start.h - runs chat_server beside a test; main.c tells what it can do.
 *
 *     struct server s;
 *     const char *args[] = {"--classes", "a,b", "--fault", "500=0.1", NULL};
 *     assert_true(server_start(&s, args));
 *     ... s.url ...
 *     assert_int_equal(server_count(&s, "answers_twice"), 0);
 *     assert_int_equal(server_stop(&s), 0);
 *
 * The program is found through $CHAT_SERVER, which meson sets. It dies when the thread that started
 * it does. Functions that return false have said why on standard error. */
#ifndef TEST_SERVER_START_H
#define TEST_SERVER_START_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    unsigned port;
    char root[40]; /* "http://127.0.0.1:PORT" */
    char url[48];  /* root, and "/v1" */
};

bool server_start(struct server *s, const char *const *args /* NULL at the end; may be NULL */);
int server_stop(struct server *s); /* its exit code; 128 and more: a signal ended it */

bool server_stats(const struct server *s, json_t **out); /* yours: json_decref */
/* A number of /stats: "answers", "faults/500"; 0 when it is not there, -1 when nobody answers. */
int64_t server_count(const struct server *s, const char *path);
bool server_reset(const struct server *s); /* the counts, and the attempts that faults go by */

/* Writes a certificate for 127.0.0.1 and localhost, its own authority, and its key, as PEM. */
bool server_make_cert(const char *cert_path, const char *key_path);

#endif
