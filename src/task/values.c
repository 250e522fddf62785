/* values.c - from words to classes: names, value maps, and what an unmapped value may mean. */
#include "task/inside.h"
#include <string.h>

int silr_task_class(const silr_task *task, const char *name, size_t len)
{
    for (size_t k = 0; k < task->n_classes; k++)
        if (strlen(task->classes[k]) == len && memcmp(task->classes[k], name, len) == 0)
            return (int)k;
    return SILR_NO_LABEL;
}

bool silr_task_value(const silr_task *task, const silr_value_map *map, const char *value,
                     int *label)
{
    static const struct {
        const char *text;
        int label;
    } usual[] = {{"1", 0}, {"+1", 0}, {"true", 0}, {"-1", 1}, {"0", 1}, {"false", 1}};
    int k;

    if (map && map->n > 0) {
        for (size_t i = 0; i < map->n; i++)
            if (strcmp(map->value[i], value) == 0) {
                *label = map->label[i];
                return true;
            }
        return false;
    }
    if ((k = silr_task_class(task, value, strlen(value))) != SILR_NO_LABEL) {
        *label = k;
        return true;
    }
    for (size_t i = 0; task->n_classes == 2 && i < sizeof usual / sizeof *usual; i++)
        if (strcmp(usual[i].text, value) == 0) {
            *label = usual[i].label;
            return true;
        }
    return false;
}

silr_status silr_task_read_class(task_box *b, int *label, const node *v, silr_error *err)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;

    if (v->kind != NODE_SCALAR || silr_node_null(v))
        return silr_task_fail(b, v, err, "the name of a class must stand here, not %s",
                              silr_node_null(v) ? "nothing" : silr_node_kind(v));
    if ((*label = silr_task_class(&b->task, v->text, v->len)) != SILR_NO_LABEL)
        return SILR_OK;
    for (size_t k = 0; k < b->task.n_classes; k++) {
        size_t d = silr_edit_distance(b->task.classes[k], v->text);
        if (d < least) {
            least = d;
            best = b->task.classes[k];
        }
    }
    if (!best)
        return silr_task_fail(b, v, err, "\"%.80s\" is not a class: no classes are given", v->text);
    return silr_task_fail(b, v, err, "\"%.80s\" is not a class: did you mean \"%s\"?", v->text,
                          best);
}

silr_status silr_task_read_map(task_box *b, silr_value_map *map, const char *path, const node *v,
                               silr_error *err)
{
    silr_value_map m = {0};
    silr_status st;

    if (v->kind != NODE_MAP && !silr_node_null(v))
        return silr_task_fail(b, v, err, "%s is %s, not a map such as {1: %s}", path,
                              silr_node_kind(v), b->task.n_classes ? b->task.classes[0] : "class");
    m.value = silr_arena_alloc(&b->arena, (v->n + 1) * sizeof *m.value);
    m.label = silr_arena_alloc(&b->arena, (v->n + 1) * sizeof *m.label);
    if (!m.value || !m.label)
        return silr_fail_memory(err);
    for (; m.n < v->n; m.n++) {
        m.label[m.n] = SILR_NO_LABEL;
        if (!silr_node_null(v->item[m.n]) &&
            (st = silr_task_read_class(b, &m.label[m.n], v->item[m.n], err)) != SILR_OK)
            return st;
        m.value[m.n] = silr_arena_strndup(&b->arena, v->key[m.n]->text, v->key[m.n]->len);
        if (!m.value[m.n])
            return silr_fail_memory(err);
    }
    *map = m;
    return SILR_OK;
}
