/* chat_server - answers as the OpenAI API does, or as badly as wanted. For tests and benches only.
 *
 *     chat_server [OPTION...]        listens on 127.0.0.1, prints the port and a newline, and
 *                                    runs until SIGTERM or SIGINT
 *
 * Tests start it with start.h. Whatever it answers depends on the request alone, not on time or
 * order: the same body gets the same bytes.
 *
 *     POST /v1/chat/completions      GET /v1/models
 *     POST /v1/files                 GET, DELETE /v1/files/ID     GET /v1/files/ID/content
 *     POST, GET /v1/batches          GET /v1/batches/ID           POST /v1/batches/ID/cancel
 *     GET /stats                     POST /reset                  its own; no key, no faults
 *
 * (/openai/v1/..., /openai/deployments/NAME/... and /openai/... are the same, as Azure has it.)
 *
 * The process
 *     --port N             the port; 0, the default, is a free one
 *     --until-eof          stop when standard input is closed, too
 *     --tls-cert F, --tls-key F     TLS, with these PEM files
 *     --log F              appends a JSON line for each request as it comes, before it is worked
 *                          on: {"seq", "hash", "method", "path", "bytes"}; hash is of the body
 *
 * Answers
 *     --classes a,b,c      what it answers: the class marked as [[NAME]] in the last user message,
 *                          else one by that message's hash (positive,negative)
 *                          Where a turn of the assistant that is a class (bare, or in JSON) comes
 *                          just before and the message contains "check", it is that class again,
 *                          or another in a fifth of the bodies.
 *     --answers F          JSONL {"text", "answer"}: where the last user message contains text,
 *                          that answer, verbatim
 *     --model NAME         the only model there is; without it every name will do
 *     --split-utf8         tokens end anywhere, even within a character
 *     --reasoning field|think|unclosed
 *                          thoughts in reasoning_content; as <think>...</think> before the answer;
 *                          or cut off before their end and with no answer (finish_reason length),
 *                          unless max tokens are 1000 or more
 *     --finish length|content_filter     always that finish_reason; the latter with empty content
 *     --refusal            message.refusal is set, and content null
 *   Also: n choices (the first is the most probable class, the others are drawn unless temperature
 *   is 0), logprobs with top_logprobs (classes.c and tokens.c say with which), response_format
 *   json_schema ({"FIRST PROPERTY": "CLASS"}), max tokens (cuts the answer; finish_reason length).
 *
 * Speed
 *     --latency MS         each chat request is answered that much later
 *     --slots N            of those, only N are worked on at a time; the others stand in line
 *     --rate-limit R       R requests a second, a second's worth at once; beyond, 429 with
 *                          Retry-After, x-ratelimit-remaining-requests, x-ratelimit-reset-requests
 *
 * Differences between servers
 *     --key KEY            401 without `Authorization: Bearer KEY` or `api-key: KEY`
 *     --echo-key           errors repeat the key received
 *     --reject PARAM       400 for max_tokens, max_completion_tokens, logprobs, top_logprobs,
 *                          response_format, seed, temperature (but 1), n (but 1), system (the role)
 *     --reject-style S     openai; bare (param and code null); plain (text); fastapi (422, detail);
 *                          vllm (a list inside a string)
 *     --ignore PARAM       as if it had not been sent
 *     --max-top N          400 for more top_logprobs (20)
 *
 * Faults: --fault KIND=RATE; attempt a of a body is struck or not by a rule (faults.c)
 *     429 (Retry-After 0 or 1)  429-bare (without)  429-quota (insufficient_quota)
 *     500  503 (HTML)  408  400  401-sometimes
 *     reset            an RST instead of an answer
 *     reset-body       half of the body that was announced, then a FIN or an RST
 *     truncated-json   half of the body, announced as half
 *     wrong-json       JSON of 14 other shapes
 *     empty-choices    no choice
 *     huge             a content of 10 MB
 *     trickle          a byte each 200 ms
 *     never            nothing, ever; it takes no slot
 *     duplicate        the response, and the same response again behind it
 *     redirect         307 to --redirect-to URL (http://127.0.0.1:1/)
 *     invalid-utf8     the content begins with bytes that are not UTF-8
 *     wrong-type       all is well but for a Content-Type of text/html
 *     html             a page, with status 200
 *     gzip, chunked    no fault: a client must take the body so encoded, or of unknown length
 *     --fault-everywhere   strikes not only chat, but all under /v1
 *
 * Batches: a stage lasts N polls, --batch-polls N (2; 0: completed at once)
 *     --batch-errors RATE  a share of the lines fails into the error file
 *     --batch-expire       expires with half of the lines run
 *     --batch-fail         fails validation
 *     --batch-no-list      GET /v1/batches is not found
 *     --batch-max-lines N  as does a file with more lines (50000)
 *
 * GET /stats: {requests, chat, unique_bodies,  seen under /v1; for chat; different bodies of chat
 *     answers, answers_twice                   valid answers given; to bodies that had one already
 *     abandoned, dropped                       the client went first; reset or never answered
 *     in_flight, max_in_flight, max_working    chat requests here; at most so; in slots
 *     connections, files, batches, batch_lines, statuses{}, faults{}, cpu_seconds
 *     authorization{distinct, without, equals_key[]}}
 * An answer is valid if the client has no reason to ask again: no fault but gzip, chunked,
 * duplicate. */
#include "server.h"

int main(int argc, char **argv)
{
    options_read(argc, argv);
    chat_prepare();
    stats_open();
    return http_serve();
}
