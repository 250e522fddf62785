# shellcheck shell=sh
# tiny.sh - what tests of whole runs need, to be read by their scripts: a model and texts made of its words.

# make_bert FROM TO - the model of folder FROM, with a tokenizer of 96 words: five marks, w5 to w95.
make_bert()
{
    mkdir "$2"
    cp "$1/config.json" "$1/model.safetensors" "$2"
    awk 'BEGIN {
        printf "{\"version\":\"1.0\",\"added_tokens\":["
        split("[PAD] [UNK] [CLS] [SEP] [MASK]", s, " ")
        for (i = 1; i <= 5; i++)
            printf "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}", (i > 1 ? "," : ""), i - 1, s[i]
        printf "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
        printf "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],"
        printf "\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},"
        printf "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{"
        for (i = 1; i <= 5; i++) printf "\"%s\":%d,", s[i], i - 1
        for (i = 5; i < 96; i++) printf "\"w%d\":%d%s", i, i, (i < 95 ? "," : "")
        print "}}}"
    }' >"$2/tokenizer.json"
}

# make_texts N [WORDS] - N texts of two topics with words of their own, 4 to 3 + WORDS (20) words each; the
# first labels err on every fifth.
make_texts()
{
    awk -v texts="$1" -v words="${2:-20}" 'BEGIN {
        srand(3)
        for (i = 0; i < texts; i++) {
            y = rand() < 0.5
            text = ""
            n = 4 + int(rand() * words)
            for (w = 0; w < n; w++) text = text " w" (rand() < 0.5 ? 5 + 45 * y + int(rand() * 45) : 5 + int(rand() * 91))
            says = i % 5 ? y : 1 - y
            printf "{\"id\":\"t%d\",\"text\":\"%s\",\"label\":\"%s\",\"llm\":\"%s\"}\n", i, text, (y ? "b" : "a"), (says ? "b" : "a")
        }
    }'
}
