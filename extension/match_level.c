/* How far two values of a field agree: the same, close, different, or one of them missing. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "match.h"

/* Jaro-Winkler similarity from which values count as close. */
#define CLOSE_FIRST_NAME 0.85
#define CLOSE_LAST_NAME 0.88
#define CLOSE_COMPANY 0.90
#define CLOSE_EMAIL 0.94
#define CLOSE_TEXT 0.85

/* Longer codes are compared as far as here. */
#define CODE_MAX 63

static const char *const kind_names[] = {
	[MATCH_FIRST_NAME] = "first_name",
	[MATCH_LAST_NAME] = "last_name",
	[MATCH_EMAIL] = "email",
	[MATCH_PHONE] = "phone",
	[MATCH_COMPANY] = "company",
	[MATCH_DOMAIN] = "domain",
	[MATCH_TEXT] = "text",
	[MATCH_CODE] = "code",
	[MATCH_DATE] = "date",
};

/*
 * First names and what they are short for or written like elsewhere: the first word of a group is
 * the name, the others mean it. A word may stand in several groups.
 */
static const char *const nicknames[] = {
	"alan al allan allen",
	"albert al bert bertie",
	"alejandro alex sandro",
	"alexander alex sasha xander aleksandr alexandre alessandro",
	"alexandra alexa sandra lexi aleksandra",
	"alfred al fred alf alfie",
	"amanda mandy",
	"andreas andi andre andrea",
	"andrew andy drew",
	"anna ann anne annie anja anita nina",
	"anthony tony anton antonio antoine toni",
	"barbara barb babs barbie",
	"benjamin ben benny",
	"bernard bernie bernhard",
	"bradley brad",
	"brigitte gitta birgit",
	"carolyn carol carrie caroline karoline",
	"catherine cathy katherine kate katie kathy kay katharina katrin kathrin cathryn kathryn",
	"charles charlie chuck carlos karl carl",
	"charlotte lottie charlie",
	"christina chris christine tina kristina christiane",
	"christopher chris kit christoph kristof",
	"claudia claudie",
	"cynthia cindy",
	"daniel dan danny",
	"david dave davy",
	"deborah deb debbie debra",
	"dennis denny",
	"diana di diane",
	"dmitry dima dmitri",
	"donald don donnie",
	"dorothy dot dottie dorothea dora",
	"douglas doug",
	"edward ed eddie ted eduard eduardo",
	"eleanor ellie nora ella",
	"elizabeth liz beth lisa betty eliza elisabeth libby lizzie elsa",
	"emily em emma emmy",
	"eric erik erich rick",
	"eugene gene evgeny",
	"evelyn eve evie",
	"ferdinand ferdi fernando",
	"florian flo",
	"frances fran franny franziska",
	"francis frank fran franz francisco paco pancho",
	"franklin frank",
	"frederick fred freddy friedrich fritz frederik",
	"gabriel gabe",
	"gabriele gabi gaby gabriela",
	"geoffrey geoff jeff",
	"gerald gerry jerry gerd gerhard",
	"gregory greg gregor",
	"guillermo memo william",
	"harold harry hal harald",
	"heinrich heinz henry heiner hein",
	"helen nell helena lena ellen",
	"henry harry hank henri enrique",
	"howard howie",
	"ignacio nacho",
	"isabella bella isabel izzy",
	"jacob jake jakob",
	"jacqueline jackie",
	"james jim jimmy jamie jaime",
	"janet jan jane",
	"jeffrey jeff",
	"jennifer jen jenny",
	"jeremy jerry",
	"jessica jess jessie",
	"joachim achim jochen",
	"johannes hans johann hannes jan",
	"john jack johnny jon juan ivan",
	"jonathan jon jonny nathan",
	"jose pepe joseph",
	"josef sepp joseph",
	"joseph joe joey josh giuseppe",
	"joshua josh",
	"judith judy",
	"karl-heinz karlheinz kalle",
	"kenneth ken kenny",
	"kimberly kim",
	"konstantin kostya",
	"lawrence larry laurence lars",
	"leonard leo len lenny leonhard",
	"lillian lily lilly",
	"louis lou louie ludwig luis",
	"louise lou lulu luise",
	"ludmila lyuda",
	"manuel manolo manu",
	"margaret maggie meg peggy rita margarete greta gretchen margarita daisy",
	"maria mary marie mia maya mitzi",
	"marjorie margie",
	"martin marty",
	"matthew matt matthias mateo",
	"maurice moritz mo",
	"maximilian max maxim",
	"maxwell max",
	"melissa mel missy",
	"michael mike mick mickey mikhail michel miguel misha michal",
	"mildred millie",
	"nancy nan",
	"natalia natasha natalie",
	"nathaniel nate nathan nat",
	"nicholas nick nicky nicolas nikolaus klaus niko",
	"nicole nicki nikki",
	"oliver ollie olli",
	"olivia liv livvy",
	"pamela pam",
	"patricia pat patty trish tricia",
	"patrick pat paddy patricio",
	"peter pete petra pierre pedro pyotr",
	"philip phil philipp phillip felipe",
	"rachel rae",
	"randolph randy",
	"raymond ray",
	"rebecca becky becca",
	"regina gina",
	"reginald reggie reg",
	"richard rick dick richie rich ricky ricardo",
	"robert bob rob bobby bert robbie roberto",
	"rodney rod",
	"roger rog rodger",
	"roland rolli",
	"ronald ron ronnie",
	"rosemary rose rosie",
	"rudolf rudi rolf",
	"russell russ",
	"samantha sam sammie",
	"samuel sam sammy",
	"sandra sandy",
	"sebastian seb basti bastian",
	"sergei sergey seryozha sergio serge",
	"sharon shari",
	"shirley shirl",
	"sidney sid",
	"sophia sophie sofia",
	"stanley stan stanislav stas",
	"stefan stephan steffen",
	"stephanie steph steffi stefanie",
	"stephen steve stefan stevie stephan etienne",
	"steven steve stevie",
	"stuart stu stewart",
	"susan sue susie suzy suzanne susanne susanna",
	"tatiana tanya",
	"terence terry",
	"theodore ted theo teddy theodor",
	"theresa terry tess tessa teresa",
	"thomas tom tommy tomas",
	"timothy tim timmy",
	"ulrich uli ulli",
	"ulrike uli ulla",
	"ursula uschi ulla",
	"valentina valya",
	"valerie val",
	"veronica ronnie vera",
	"victor vic viktor",
	"victoria vicky tori viktoria vika",
	"vincent vince vincenzo vicente",
	"vladimir vova volodya wladimir",
	"walter walt wally",
	"wilhelm willi willy",
	"william bill billy will liam willie wilhelm",
	"wolfgang wolf",
	"yekaterina katya",
	"yevgeny zhenya",
	"zachary zach zack",
};

bool
sh_match_kind(const char *name, int len, enum match_kind *kind)
{
	for (int i = 0; i < (int) lengthof(kind_names); i++)
		if ((int) strlen(kind_names[i]) == len && memcmp(kind_names[i], name, len) == 0)
		{
			*kind = (enum match_kind) i;
			return true;
		}
	return false;
}

/* Whether a text of words, parted by spaces, has this word. */
static bool
has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(words, word); p; p = strstr(p + 1, word))
		if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

/* A word of the lists of names, and which list. */
struct name_word
{
	const char *word;
	int len;
	int list;
};

static struct name_word *name_words = NULL; /* sorted by word, then list */
static int name_word_count = 0;

static int
compare_words(const struct name_word *a, const char *word, int len)
{
	int order = memcmp(a->word, word, Min(a->len, len));

	return order != 0 ? order : a->len - len;
}

static int
compare_name_words(const void *a, const void *b)
{
	const struct name_word *x = a;
	const struct name_word *y = b;
	int order = compare_words(x, y->word, y->len);

	return order != 0 ? order : x->list - y->list;
}

/* Once in the life of a backend. */
static void
sort_name_words(void)
{
	int count = lengthof(nicknames);

	for (int i = 0; i < (int) lengthof(nicknames); i++)
		for (const char *p = nicknames[i]; *p; p++)
			count += *p == ' ';
	name_words = MemoryContextAlloc(TopMemoryContext, count * sizeof(*name_words));
	count = 0;
	for (int i = 0; i < (int) lengthof(nicknames); i++)
		for (const char *p = nicknames[i]; *p;)
		{
			int len = strcspn(p, " ");

			name_words[count++] = (struct name_word){ p, len, i };
			p += len + (p[len] == ' ');
		}
	qsort(name_words, count, sizeof(*name_words), compare_name_words);
	name_word_count = count;
}

const char *
sh_match_full_name(const char *word, int nth)
{
	int len = strlen(word);
	int low = 0;
	int high;

	if (!name_words)
		sort_name_words();
	high = name_word_count;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (compare_words(&name_words[middle], word, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	low += nth;
	if (low >= name_word_count || compare_words(&name_words[low], word, len) != 0)
		return NULL;
	word = nicknames[name_words[low].list];
	return pnstrdup(word, strcspn(word, " "));
}

static bool
is_nickname(const char *a, const char *b)
{
	for (int i = 0; i < (int) lengthof(nicknames); i++)
		if (has_word(nicknames[i], a) && has_word(nicknames[i], b))
			return true;
	return false;
}

static enum match_level
first_name_level(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	/* One of them is an initial, or the other has a second name. */
	if (strlen(a) == 1 || strlen(b) == 1)
		return a[0] == b[0] ? MATCH_CLOSE : MATCH_DIFFER;
	if (has_word(a, b) || has_word(b, a) || is_nickname(a, b) ||
		sh_name_similarity(a, b) >= CLOSE_FIRST_NAME)
		return MATCH_CLOSE;
	return MATCH_DIFFER;
}

static enum match_level
last_name_level(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	if (has_word(a, b) || has_word(b, a) || sh_name_similarity(a, b) >= CLOSE_LAST_NAME ||
		strcmp(sh_match_phonetic(a), sh_match_phonetic(b)) == 0)
		return MATCH_CLOSE;
	return MATCH_DIFFER;
}

static enum match_level
similar_level(const char *a, const char *b, double close)
{
	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	return sh_name_similarity(a, b) >= close ? MATCH_CLOSE : MATCH_DIFFER;
}

/* Optimal string alignment: insert, delete, replace, or swap two neighbours. */
static int
edits(const char *a, const char *b)
{
	int na = Min(strlen(a), CODE_MAX);
	int nb = Min(strlen(b), CODE_MAX);
	int row[3][CODE_MAX + 1];

	for (int j = 0; j <= nb; j++)
		row[0][j] = j;
	for (int i = 1; i <= na; i++)
	{
		int *now = row[i % 3];
		const int *above = row[(i + 2) % 3];
		const int *two_above = row[(i + 1) % 3];

		now[0] = i;
		for (int j = 1; j <= nb; j++)
		{
			now[j] = Min(Min(above[j], now[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = Min(now[j], two_above[j - 2] + 1);
		}
	}
	return row[na % 3][nb];
}

static enum match_level
code_level(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	return strlen(a) > 2 && strlen(b) > 2 && edits(a, b) == 1 ? MATCH_CLOSE : MATCH_DIFFER;
}

/* Eight digits, the year first: day and month may have changed places. */
static enum match_level
date_level(const char *a, const char *b)
{
	if (strlen(a) == 8 && strlen(b) == 8 && memcmp(a, b, 4) == 0 && memcmp(a + 4, b + 6, 2) == 0 &&
		memcmp(a + 6, b + 4, 2) == 0)
		return strcmp(a, b) == 0 ? MATCH_SAME : MATCH_CLOSE;
	return code_level(a, b);
}

static enum match_level
phone_level(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	if (strlen(a) >= 7 && strlen(b) >= 7 &&
		(strcmp(sh_match_phone_tail(a), sh_match_phone_tail(b)) == 0 || edits(a, b) == 1))
		return MATCH_CLOSE;
	return MATCH_DIFFER;
}

static enum match_level
email_level(const char *a, const char *b)
{
	const char *at = strrchr(a, '@');
	const char *bt = strrchr(b, '@');

	if (strcmp(a, b) == 0)
		return MATCH_SAME;
	if (at && bt && at - a == bt - b && at - a > 2 && memcmp(a, b, at - a) == 0)
		return MATCH_CLOSE;
	return sh_name_similarity(a, b) >= CLOSE_EMAIL ? MATCH_CLOSE : MATCH_DIFFER;
}

static enum match_level
company_level(const char *a, const char *b)
{
	enum match_level level = similar_level(a, b, CLOSE_COMPANY);

	if (level != MATCH_DIFFER)
		return level;
	return has_word(a, b) || has_word(b, a) ? MATCH_CLOSE : MATCH_DIFFER;
}

const char *
sh_match_normal(enum match_kind kind, struct match_text value)
{
	const char *form = NULL;

	if (!value.data)
		return NULL;
	switch (kind)
	{
		case MATCH_EMAIL:
			form = sh_match_email(value.data, value.len);
			break;
		case MATCH_PHONE:
			form = sh_match_phone(value.data, value.len);
			break;
		case MATCH_COMPANY:
			form = sh_match_company(value.data, value.len);
			break;
		case MATCH_DOMAIN:
			form = sh_match_domain(value.data, value.len);
			break;
		case MATCH_CODE:
		case MATCH_DATE:
			form = sh_match_letters(value.data, value.len);
			break;
		default:
			form = sh_match_fold(value.data, value.len);
	}
	return form && *form ? form : NULL;
}

enum match_level
sh_match_level(enum match_kind kind, const char *x, const char *y)
{
	if (!x || !y)
		return MATCH_MISSING;
	switch (kind)
	{
		case MATCH_FIRST_NAME:
			return first_name_level(x, y);
		case MATCH_LAST_NAME:
			return last_name_level(x, y);
		case MATCH_EMAIL:
			return email_level(x, y);
		case MATCH_PHONE:
			return phone_level(x, y);
		case MATCH_COMPANY:
			return company_level(x, y);
		case MATCH_DOMAIN:
			return strcmp(x, y) == 0 ? MATCH_SAME : MATCH_DIFFER;
		case MATCH_TEXT:
			return similar_level(x, y, CLOSE_TEXT);
		case MATCH_CODE:
			return code_level(x, y);
		case MATCH_DATE:
			return date_level(x, y);
	}
	return MATCH_MISSING;
}
