/* make_texts.c - for scripts: make_texts FOLDER N CLASSES RECIPE writes texts.jsonl and task.yaml. */
#include "texts.h"
#include <stdlib.h>

int main(int argc, char **argv)
{
    silr_error err = {0};
    int rc = 1;

    if (argc != 5) {
        fprintf(stderr, "usage: make_texts FOLDER N CLASSES RECIPE\n");
        return 2;
    }
    size_t n = strtoul(argv[2], NULL, 10);
    int K = (int)strtol(argv[3], NULL, 10);
    char *texts = silr_path_join(argv[1], "texts.jsonl"), *task = silr_path_join(argv[1], "task.yaml");
    if (texts && task && K >= 2 && K <= 26 && silr_mkdirs(argv[1], &err) == SILR_OK &&
        texts_write(texts, n, K, 1, false, NULL, &err) == SILR_OK &&
        texts_task(task, K, argv[4], "", &err) == SILR_OK)
        rc = 0;
    else
        fprintf(stderr, "make_texts: %s\n", err.text);
    silr_free(texts);
    silr_free(task);
    return rc;
}
