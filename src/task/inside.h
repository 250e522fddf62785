/* inside.h - what the files of src/task share; unknown outside.
 *
 * The way of a task: text -> tree.c (nodes with line and column) -> read.c (settings, through the
 * table of knobs.c) -> check.c (what only the whole can tell) -> json.c (canonical text, hash).
 *
 * A task is the first member of a box that also holds what it was made from. All of it, strings
 * and nodes, lies in one arena: a task that fails half-way is released like any other. */
#ifndef SILR_TASK_INSIDE_H
#define SILR_TASK_INSIDE_H

#include "task/task.h"

enum {
    TASK_MAX_BYTES = 1 << 20, /* a task file is written by hand */
    TASK_MAX_DEPTH = 16,      /* nesting of the text; what is known needs four */
    TASK_MAX_ENTRIES = 1000,  /* keys of one map: looking for doubles is quadratic */
    TASK_MAX_CLASSES = 64,
    TASK_MAX_NAME = 200, /* bytes of a class name, a key, a value in a map */
    TASK_MAX_KNOBS = 128
};

/* --- tree.c: YAML (and so JSON) as a tree ------------------------------------------------------
 */

typedef enum { NODE_SCALAR, NODE_LIST, NODE_MAP } node_kind;
typedef struct node node;
struct node {
    node_kind kind;
    int line, column; /* from 1 */
    bool plain;       /* a scalar without quotes: 1, true and null mean what they say */
    char *text;       /* scalar; UTF-8 without NUL */
    size_t len;
    size_t n;    /* items; for a map pairs */
    node **item; /* list: the items; map: the values */
    node **key;  /* map: scalars */
};
/* *out: the root, or NULL for a text with nothing in it. `name` for errors; all memory in a. */
silr_status silr_tree_parse(node **out, silr_arena *a, const char *text, size_t len,
                            const char *name, silr_error *err);
bool silr_node_null(const node *v);        /* no value, ~ or null */
const char *silr_node_kind(const node *v); /* "a list", "a map", "text", "a number", ... */

/* --- the box ---------------------------------------------------------------------------------- */

/* Where a setting came from. line 0: nowhere, the default; > 0: the file. */
typedef struct {
    int line, column;
    bool flag, recipe;
    const char *shown; /* "task.yaml:12"; made when the task is complete */
} origin;

/* Settings that are lists or maps, read by functions of their own. */
typedef enum {
    LIST_CLASSES,
    LIST_FILES,
    LIST_LABEL_VALUES,
    LIST_LABELLED,
    LIST_THETA,
    LIST_PI,
    LIST_VALUES,
    LIST_RULES,
    LIST_DESCRIPTIONS,
    LIST_EXAMPLES,
    LIST_PARAMETERS,
    LIST_PRICES,
    LIST_MEMBERS,
    LIST_N
} list_id;
extern const char *const silr_task_list_path[LIST_N];
bool silr_task_list(const char *path, list_id *id); /* is it one of them? id may be NULL */

typedef struct {
    struct silr_task task; /* first: a silr_task * is a box * */
    silr_arena arena;
    const char *name; /* of the file, in errors */
    char *source;     /* its text, for silr_task_set to start anew from */
    size_t source_len;
    size_t n_sets;
    char **sets; /* "key=value" */
    origin knob_origin[TASK_MAX_KNOBS], list_origin[LIST_N];
    const char *flag; /* the override being read, for errors; NULL: the file */
    const node *members; /* annotator.members, read when the rest of the task is known */
} task_box;

/* SILR_EINPUT with the place in front: "task.yaml:12:5: " or "--set key=value: ". v may be NULL. */
silr_status silr_task_fail(const task_box *b, const node *v, silr_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* --- knobs.c ---------------------------------------------------------------------------------- */

const silr_knob *silr_knob_find(const char *path, size_t *index);
bool silr_task_section(const char *path); /* "refine", "corpus.split": some knob lies below it */
/* `key` is not known in `section` ("" is the whole file): the sentence that says so, with the
 * nearest known key, or all of them. */
void silr_knob_unknown(silr_buf *out, const char *section, const char *key);
silr_status silr_knob_assign(task_box *b, const silr_knob *k, const node *v, silr_error *err);
silr_status silr_knob_defaults(task_box *b, silr_error *err);
void silr_knob_print(const struct silr_task *t, const silr_knob *k, silr_buf *out, bool json);
void silr_task_number(silr_buf *out, double v); /* shortest text that reads back as v */

/* --- read.c, values.c, check.c, json.c -----------------------------------------------------------
 */

silr_status silr_task_read_tree(task_box *b, const node *root, silr_error *err);
silr_status silr_task_read_set(task_box *b, const char *set, silr_error *err);
silr_status silr_task_read_map(task_box *b, silr_value_map *map, const char *path, const node *v,
                               silr_error *err);
/* The class that a node names; SILR_EINPUT, with the nearest, when there is none. */
silr_status silr_task_read_class(task_box *b, int *label, const node *v, silr_error *err);
silr_status silr_task_check(task_box *b, silr_error *err);
/* One setting, of whatever sort, by its path. */
silr_status silr_task_read_setting(task_box *b, const char *path, const node *v, silr_error *err);

/* chat.c: the lists below annotator that a conversation takes; members.c: several annotators. */
silr_status silr_task_read_chat_list(task_box *b, list_id id, const node *v, silr_error *err);
silr_status silr_task_check_chat(task_box *b, silr_error *err);
void silr_task_print_chat_list(const struct silr_task *t, list_id id, silr_buf *out, bool for_hash);
silr_status silr_task_read_members(task_box *b, silr_error *err);
silr_status silr_task_check_annotator(task_box *b, silr_error *err);
/* The place of a setting, for complaints about the whole. */
node silr_task_place(const task_box *b, const char *path);
void silr_task_print_annotator(const struct silr_task *t, silr_buf *out, bool for_hash);
void silr_task_print(const struct silr_task *t, silr_buf *out, bool for_hash);
void silr_task_print_list(const struct silr_task *t, list_id id, silr_buf *out);

#endif
