# words.awk - texts for the tests: awk -v n=400 -v seed=1 -f words.awk > texts.jsonl
# Two topics with words of their own and words in common; the column llm errs on one text of six and
# is silent on one of fifteen. The numbers come from a small generator of its own, so that every
# awk writes the same bytes.
function next_number()
{
    state = (state * 16807) % 2147483647
    return state / 2147483647
}
function word(list, k, parts)
{
    k = split(list, parts, " ")
    return parts[1 + int(next_number() * k)]
}
BEGIN {
    state = seed + 12345
    own["sport"] = "match goal league striker coach season cup stadium referee penalty keeper"
    own["money"] = "bank shares profit market stock trade budget tax loan growth investor"
    common = "the a of said in on year after that was with people new time week first last"
    for (i = 1; i <= n; i++) {
        truth = next_number() < 0.5 ? "sport" : "money"
        text = ""
        for (w = 0; w < 14; w++)
            text = text (w ? " " : "") (next_number() < 0.3 ? word(own[truth]) : word(common))
        u = next_number()
        llm = u < 0.166 ? (truth == "sport" ? "money" : "sport") : truth
        silent = next_number() < 0.066
        printf "{\"id\":\"t%d\",\"text\":\"%s\",\"label\":\"%s\",\"llm\":%s}\n", i, text, truth,
            silent ? "null" : "\"" llm "\""
    }
}
