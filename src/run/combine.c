/* combine.c - the labels of several annotators as one. */
#include "run/internal.h"
#include <math.h>
#include <string.h>

silr_status silr_session_combine(silr_session *s, const silr_task *task, silr_error *err)
{
    (void)s, (void)task;
    return silr_fail(err, SILR_EBUG, "not here yet");
}
