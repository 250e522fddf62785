/* members.c - annotator: {kind: several, members: [...]}: several annotators in one task.
 *
 * Each member is the task itself with another annotator in it: all that takes a task's annotator
 * takes a member's. A member begins with the settings that stand beside `members` (a url, prices, a
 * cache that all share) and says what is its own. Read last, when all the rest is known. */
#include "task/inside.h"
#include <string.h>

enum { MAX_MEMBERS = 16 };

/* The file's name, without the folders above it. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

const char *silr_task_annotator(const silr_task *task)
{
    static const char *const kinds[] = {"column", "rules", "chat", "local", "several"};

    if (task->annotator.name)
        return task->annotator.name;
    if (task->annotator.kind == SILR_ANNOTATOR_CHAT && task->annotator.chat.model)
        return task->annotator.chat.model;
    if (task->annotator.kind == SILR_ANNOTATOR_LOCAL && task->annotator.chat.model)
        return last_part(task->annotator.chat.model);
    if (task->annotator.kind == SILR_ANNOTATOR_COLUMN && task->annotator.column)
        return task->annotator.column;
    if (task->annotator.kind == SILR_ANNOTATOR_COLUMN && task->annotator.log_odds)
        return task->annotator.log_odds;
    return kinds[task->annotator.kind];
}

bool silr_task_prompts(const silr_task *task)
{
    return task->annotator.kind == SILR_ANNOTATOR_CHAT || task->annotator.kind == SILR_ANNOTATOR_LOCAL;
}

const silr_task *silr_task_in_use(const silr_task *task)
{
    for (size_t i = 0; task->annotator.use && i < task->annotator.n_members; i++)
        if (strcmp(silr_task_annotator(task->annotator.member[i]), task->annotator.use) == 0)
            return task->annotator.member[i];
    return task;
}

bool silr_task_asks(const silr_task *task)
{
    const silr_task *used = silr_task_in_use(task);
    bool asks = silr_task_prompts(used);

    for (size_t i = 0; used->annotator.kind == SILR_ANNOTATOR_SEVERAL &&
                       i < used->annotator.n_members; i++)
        asks = asks || silr_task_prompts(used->annotator.member[i]);
    return asks;
}

static bool says_kind(const node *v)
{
    for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++)
        if (strcmp(v->key[i]->text, "kind") == 0)
            return true;
    return false;
}

/* Reads v into b->task, which holds a copy of the whole task by now. */
static silr_status read_member(task_box *b, const node *v, silr_error *err)
{
    silr_status st;

    if (v->kind != NODE_MAP || !says_kind(v))
        return silr_task_fail(b, v, err, "a member is a map that begins with its kind, such as {kind: "
                              "column, column: llm}");
    b->task.annotator.name = NULL;
    if ((st = silr_task_read_setting(b, "annotator", v, err)) != SILR_OK)
        return st;
    if (b->task.annotator.kind == SILR_ANNOTATOR_SEVERAL)
        return silr_task_fail(b, v, err, "a member cannot be several annotators itself");
    return silr_task_check_annotator(b, err);
}

/* A member is a box of its own, so that it can say where its settings came from; its strings lie in
 * the task's arena. */
static silr_status keep_member(task_box *b, struct silr_task *const *before, size_t n,
                               struct silr_task **out, const node *v, silr_error *err)
{
    task_box *copy;

    for (size_t i = 0; i < n; i++)
        if (strcmp(silr_task_annotator(before[i]), silr_task_annotator(&b->task)) == 0)
            return silr_task_fail(b, v, err, "two members are called \"%.80s\": give each a name of "
                                  "its own", silr_task_annotator(&b->task));
    if (!(copy = silr_arena_alloc(&b->arena, sizeof *copy)))
        return silr_fail_memory(err);
    *copy = *b;
    copy->arena = (silr_arena){0};
    copy->members = NULL;
    *out = &copy->task;
    return SILR_OK;
}

/* The box as it is while the members are read, to be put back afterwards. */
typedef struct {
    struct silr_task task;
    origin knob_origin[TASK_MAX_KNOBS], list_origin[LIST_N];
} shelf;

static silr_status read_all(task_box *b, const node *v, const shelf *own, struct silr_task **member,
                            silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; i < v->n && st == SILR_OK; i++) {
        b->task = own->task;
        b->members = NULL;
        st = read_member(b, v->item[i], err);
        if (st == SILR_OK && b->members && b->members->n > 0)
            st = silr_task_fail(b, b->members, err, "a member has no members of its own");
        if (st == SILR_OK)
            st = keep_member(b, member, i, &member[i], v->item[i], err);
    }
    return st;
}

static silr_status check_use(task_box *b, silr_error *err)
{
    const struct silr_task *t = &b->task;
    node at = silr_task_place(b, "annotator.use");

    for (size_t i = 0; t->annotator.use && i < t->annotator.n_members; i++)
        if (strcmp(silr_task_annotator(t->annotator.member[i]), t->annotator.use) == 0)
            return SILR_OK;
    if (!t->annotator.use)
        return SILR_OK;
    return silr_task_fail(b, &at, err, "annotator.use: no member is called \"%.80s\"; the first is "
                          "\"%.80s\"", t->annotator.use, silr_task_annotator(t->annotator.member[0]));
}

silr_status silr_task_read_members(task_box *b, silr_error *err)
{
    const node *v = b->members;
    bool several = b->task.annotator.kind == SILR_ANNOTATOR_SEVERAL;
    node at = silr_task_place(b, "annotator.kind");
    struct silr_task **member;
    shelf *own;
    silr_status st;

    if (!several && v && !(v->kind == NODE_LIST && v->n == 0) && !silr_node_null(v))
        return silr_task_fail(b, v, err, "annotator.members needs annotator.kind: several");
    if (!several)
        return SILR_OK;
    if (!v || v->kind != NODE_LIST || v->n < 2 || v->n > MAX_MEMBERS)
        return silr_task_fail(b, v ? v : &at, err, "annotator.members is a list of 2 to %d annotators, "
                              "such as [{kind: chat, model: a}, {kind: column, column: b}]",
                              MAX_MEMBERS);
    member = silr_arena_alloc(&b->arena, v->n * sizeof *member);
    own = silr_calloc(1, sizeof *own);
    if (!member || !own) {
        silr_free(own);
        return silr_fail_memory(err);
    }
    own->task = b->task;
    memcpy(own->knob_origin, b->knob_origin, sizeof own->knob_origin);
    memcpy(own->list_origin, b->list_origin, sizeof own->list_origin);
    st = read_all(b, v, own, member, err);
    b->task = own->task;
    b->members = v;
    memcpy(b->knob_origin, own->knob_origin, sizeof own->knob_origin);
    memcpy(b->list_origin, own->list_origin, sizeof own->list_origin);
    silr_free(own);
    b->task.annotator.member = member;
    b->task.annotator.n_members = st == SILR_OK ? v->n : 0;
    return st == SILR_OK ? check_use(b, err) : st;
}
