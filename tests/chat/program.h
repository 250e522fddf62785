/* program.h - runs the built `silr annotate` as a user would, and looks at what it leaves behind.
 *
 *     static struct program s;
 *     program_make("429", 200, "");                     a folder with texts.jsonl and task.yaml
 *     program_start(&s, "429", url, "--set", "annotator.timeout=1", NULL);
 *     program_wait(&s);
 *     assert_int_equal(s.code, 0);
 *     program_look(&s);  ... s.label[i], s.failed[i], program_traffic("429", "sent") ...
 *
 * All folders lie in one of their own, which program_home_* make and take away. The program gets an
 * environment of its own: what a test puts there with program_env, and nothing else. $SILR is its path. */
#ifndef TEST_CHAT_PROGRAM_H
#define TEST_CHAT_PROGRAM_H

#include "base/base.h"
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

enum { PROGRAM_TEXTS = 2000, NOT_ASKED = -2, ABSTAINED = -1 };

struct program {
    char name[40];
    pid_t pid;
    int code;            /* exit code; 128 and more: a signal ended it */
    double seconds, cpu; /* from start to end; of its own */
    silr_buf out, err;
    size_t texts;
    int label[PROGRAM_TEXTS]; /* ABSTAINED: it abstained; NOT_ASKED */
    bool failed[PROGRAM_TEXTS];
};

int program_home_make(void **state); /* for cmocka */
int program_home_drop(void **state);
/* "HOME/name/file"; file "": the folder. Of four buffers in turn. */
const char *program_at(const char *name, const char *file);

/* Texts "text 0 [[positive]]", ...; classes positive and negative, in turn. annotator: further members
 * of it, as "samples: 3". */
void program_make(const char *name, size_t n, const char *annotator);

void program_env(const char *name, const char *value); /* value NULL: not any more */
/* `silr annotate task.yaml --out run -q ARGS...`, in the folder. url: of annotator.url; NULL: not said. */
void program_start(struct program *s, const char *name, const char *url, ... /* NULL */);
/* Waits for its end, two minutes at most: then it is killed, and the test has failed. */
void program_wait(struct program *s);
void program_wait_killed(struct program *s); /* of one that was sent a SIGKILL */
/* Both; the exit code. */
int program_run(struct program *s, const char *name, const char *url, ... /* NULL */);
bool program_says(const struct program *s, const char *words); /* on standard error */
void program_clear(struct program *s);

/* Reads the labels from run.db. */
void program_look(struct program *s);
size_t program_count(const struct program *s, int label);
size_t program_count_failed(const struct program *s);
/* All of them right, no text lost, none failed. */
void program_all_right(const struct program *s);
int64_t program_traffic(const char *name, const char *what);
int64_t program_number(const char *name, const char *sql);

#endif
