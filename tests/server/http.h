/* http.h - between http.c, where requests come in, and send.c, where answers go out. */
#ifndef TEST_SERVER_HTTP_H
#define TEST_SERVER_HTTP_H

#include "server.h"
#include <microhttpd.h>

enum { TRICKLE_MS = 200, LOOK_AGAIN_MS = 250 };

extern bool http_dying; /* every connection is to be closed */

enum MHD_Result http_send(struct request *r); /* MHD_NO: close the connection, as intended */
bool http_gone(const struct request *r);      /* its client has closed the connection */
/* Takes the connection out of the loop; until due, or due -1: until somebody calls wait_until. */
void http_suspend(struct request *r, enum state state, int64_t due);
void http_read_pem(silr_buf *b, const char *path); /* exits with 2 when it cannot */

#endif
