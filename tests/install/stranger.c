/* stranger.c - the smallest program that uses silr as an outsider does: silr.h and pkg-config. */
#include <silr.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(silr_version(), EXPECTED_VERSION) != 0) {
        fprintf(stderr, "the library says it is %s\n", silr_version());
        return 1;
    }
    return 0;
}
