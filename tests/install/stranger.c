/* stranger.c - the smallest program that uses silr as an outsider does: silr.h and pkg-config. */
#include <silr.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    silr_error err;
    silr_task *task = NULL;

    if (strcmp(silr_version(), EXPECTED_VERSION) != 0) {
        fprintf(stderr, "the library says it is %s\n", silr_version());
        return 1;
    }
    if (silr_task_load(&task, "/nowhere/task.yaml", &err) != SILR_EINPUT || task != NULL) {
        fprintf(stderr, "a missing task file is not refused\n");
        return 1;
    }
    if (strstr(err.text, "/nowhere/task.yaml") == NULL) {
        fprintf(stderr, "the error does not name the file: %s\n", err.text);
        return 1;
    }
    silr_task_free(task);
    return 0;
}
