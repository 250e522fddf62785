#include "chat/inside.h"
silr_status silr_chat_batch(silr_chat *c, const silr_chat_job *job, silr_error *err)
{
    return silr_chat_ask(c, job, err);
}
