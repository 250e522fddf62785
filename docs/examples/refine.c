/* refine.c - refines the labels of a task, then labels the lines of standard input.
 *
 *     cc refine.c $(pkg-config --cflags --libs silr) -o refine
 *     ./refine task.yaml runs/mine <new.txt */
#include <silr.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void on_interrupt(int number)
{
    (void)number;
    silr_cancel(); /* silr_run saves what it has and returns SILR_ECANCEL */
}

static void on_log(void *ctx, int level, const char *text)
{
    (void)ctx;
    if (level == 0)
        fprintf(stderr, "warning: %s\n", text);
}

static silr_status refine(const char *file, const char *dir, silr_error *err)
{
    silr_task *task = NULL;
    silr_run_opts opts = {.log = on_log};
    silr_status st = silr_task_load(&task, file, err);

    if (st == SILR_OK)
        st = silr_task_set(task, "refine.metric", "balanced", err);
    if (st == SILR_OK)
        st = silr_run(task, dir, &opts, err);
    silr_task_free(task);
    return st;
}

static silr_status label_lines(const char *dir, silr_error *err)
{
    char line[65536];
    silr_model *model = NULL;
    silr_prediction p;
    silr_status st = silr_model_load(&model, dir, err);

    while (st == SILR_OK && fgets(line, sizeof line, stdin)) {
        size_t len = strcspn(line, "\n");
        st = silr_predict(model, line, len, &p, NULL, err);
        if (st == SILR_OK)
            printf("%s\t%.4f\t%.*s\n", silr_model_class(model, p.label), p.score, (int)len, line);
    }
    silr_model_free(model);
    return st;
}

int main(int argc, char **argv)
{
    silr_error err;
    silr_status st;

    if (argc != 3) {
        fprintf(stderr, "usage: refine TASK DIR <LINES\n");
        return 2;
    }
    signal(SIGINT, on_interrupt);
    st = refine(argv[1], argv[2], &err);
    if (st == SILR_OK)
        st = label_lines(argv[2], &err);
    if (st == SILR_OK)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return st == SILR_EDOMAIN ? 8 : 1; /* 8: refused, the labels tell too little */
}
