/* check_json.c - is standard input JSON? With -l: is each of its lines a JSON object? */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_lines(void)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t len;
    int bad = 0;

    while (!bad && (len = getline(&line, &cap, stdin)) > 0) {
        json_error_t why;
        json_t *j = json_loadb(line, (size_t)len, 0, &why);
        number++;
        if (!json_is_object(j)) {
            fprintf(stderr, "line %zu: %s\n", number, j ? "not an object" : why.text);
            bad = 1;
        }
        json_decref(j);
    }
    free(line);
    return bad || number == 0;
}

int main(int argc, char **argv)
{
    json_error_t why;
    json_t *j;

    if (argc > 1 && strcmp(argv[1], "-l") == 0)
        return check_lines();
    if (!(j = json_loadf(stdin, 0, &why))) {
        fprintf(stderr, "%d:%d: %s\n", why.line, why.column, why.text);
        return 1;
    }
    json_decref(j);
    return 0;
}
