// Gorilla's sessions in Redis by redistore over redigo, over HTTP with cookies: `redistore PORT`.
// Prints a line for each check and "N passed, N failed" at the end.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/boj/redistore"
	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/sessions"
)

const prefix = "session_"

var (
	address = "127.0.0.1:" + os.Args[1]
	server  redis.Conn
)

// must ends a check, whose panic is its failure.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func verify(condition bool, what string) {
	if !condition {
		panic(what)
	}
}

func do(command string, arguments ...interface{}) interface{} {
	reply, err := server.Do(command, arguments...)
	must(err)
	return reply
}

func number(command string, arguments ...interface{}) int64 {
	return do(command, arguments...).(int64)
}

func keys() []string {
	names, err := redis.Strings(do("KEYS", prefix+"*"), nil)
	must(err)
	return names
}

// lacks says whether the server may lack a command, and does.
func lacks(command string) bool {
	for _, word := range strings.Fields(os.Getenv("CLIENT_TESTS_MAY_LACK")) {
		if word == command {
			return do("COMMAND", "INFO", command).([]interface{})[0] == nil
		}
	}
	return false
}

func application() http.Handler {
	store, err := redistore.NewRediStore(4, "tcp", address, "", []byte("a secret of thirty-two characters"))
	must(err)
	store.SetSerializer(redistore.JSONSerializer{})
	page := func(action func(*http.Request, http.ResponseWriter, *sessions.Session) string) http.HandlerFunc {
		return func(response http.ResponseWriter, request *http.Request) {
			session, err := store.Get(request, "session")
			must(err)
			body := action(request, response, session)
			must(session.Save(request, response))
			fmt.Fprint(response, body)
		}
	}
	pages := http.NewServeMux()
	pages.HandleFunc("/login", page(func(request *http.Request, _ http.ResponseWriter, session *sessions.Session) string {
		session.Values["user"] = request.FormValue("user")
		session.Options.MaxAge = 3600
		if seconds := request.FormValue("seconds"); seconds != "" {
			must(json.Unmarshal([]byte(seconds), &session.Options.MaxAge))
		}
		return ""
	}))
	// A page that saves is a page that touches: redistore has nothing else for it.
	pages.HandleFunc("/visit", page(func(_ *http.Request, _ http.ResponseWriter, session *sessions.Session) string {
		visits, _ := session.Values["visits"].(float64)
		session.Values["visits"] = visits + 1
		return fmt.Sprint(visits + 1)
	}))
	pages.HandleFunc("/regenerate", page(func(request *http.Request, response http.ResponseWriter, session *sessions.Session) string {
		// Which empties the session; without an id it gets another.
		must(store.Delete(request, response, session))
		session.ID = ""
		session.Values["user"] = request.FormValue("user")
		return ""
	}))
	pages.HandleFunc("/logout", page(func(_ *http.Request, _ http.ResponseWriter, session *sessions.Session) string {
		session.Options.MaxAge = -1
		return ""
	}))
	pages.HandleFunc("/me", func(response http.ResponseWriter, request *http.Request) {
		session, err := store.Get(request, "session")
		must(err)
		user, _ := session.Values["user"].(string)
		fmt.Fprint(response, user)
	})
	return pages
}

type browser struct {
	origin string
	client http.Client
}

func newBrowser(origin string) *browser {
	jar, err := cookiejar.New(nil)
	must(err)
	return &browser{origin, http.Client{Jar: jar}}
}

func loggedIn(origin, user, query string) *browser {
	b := newBrowser(origin)
	b.ask("/login?user=" + user + query)
	return b
}

func (b *browser) ask(path string) string {
	response, err := b.client.Get(b.origin + path)
	must(err)
	defer response.Body.Close()
	verify(response.StatusCode == 200, response.Status)
	body, err := io.ReadAll(response.Body)
	must(err)
	return string(body)
}

func (b *browser) user() string {
	return b.ask("/me")
}

// copy has the same cookies, as after someone read them.
func (b *browser) copy() *browser {
	other := newBrowser(b.origin)
	origin, err := url.Parse(b.origin)
	must(err)
	other.client.Jar.SetCookies(origin, b.client.Jar.Cookies(origin))
	return other
}

func eventually(condition func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		verify(time.Now().Before(deadline), "waited in vain")
	}
}

type check struct {
	name, needs string
	body        func()
}

func checks(origin string) []check {
	return []check{
		{"log_in", "", func() {
			verify(newBrowser(origin).user() == "", "a stranger has a user")
			verify(loggedIn(origin, "alice", "").user() == "alice", "nobody is logged in")
			verify(number("TTL", keys()[0]) > 3000, "no time to live")
		}},
		{"read", "", func() {
			alice, bob := loggedIn(origin, "alice", ""), loggedIn(origin, "bob", "")
			for _, visits := range []string{"1", "2", "3"} {
				verify(alice.ask("/visit") == visits, "a visit is missing")
			}
			verify(bob.ask("/visit") == "1" && bob.user() == "bob", "bob's session is not his")
		}},
		{"touch", "", func() {
			alice := loggedIn(origin, "alice", "")
			number("EXPIRE", keys()[0], 100)
			alice.ask("/visit")
			verify(number("TTL", keys()[0]) > 3000, "not touched")
		}},
		{"regenerate", "", func() {
			alice := loggedIn(origin, "alice", "")
			thief, before := alice.copy(), keys()[0]
			alice.ask("/regenerate?user=alice")
			after := keys()
			verify(len(after) == 1 && after[0] != before, "the same id")
			verify(alice.user() == "alice" && thief.user() == "", "the old id is still good")
		}},
		{"log_out", "", func() {
			alice := loggedIn(origin, "alice", "")
			thief := alice.copy()
			alice.ask("/logout")
			verify(alice.user() == "" && thief.user() == "" && len(keys()) == 0, "still logged in")
		}},
		{"expiry", "", func() {
			alice := loggedIn(origin, "alice", "&seconds=2").copy()
			verify(number("PTTL", keys()[0]) <= 2000, "lives too long")
			eventually(func() bool { return len(keys()) == 0 })
			verify(alice.user() == "", "still logged in")
		}},
		{"logout_everywhere", "INDEX.SET", func() {
			do("INDEX.SET", "gorilla", "KEYS", prefix+"*", "USER", "JSON", "/user")
			phone, laptop := loggedIn(origin, "alice", ""), loggedIn(origin, "alice", "")
			bob := loggedIn(origin, "bob", "")
			verify(number("SESSION.REVOKEUSER", "alice") == 2, "not two sessions ended")
			verify(phone.user() == "" && laptop.user() == "", "alice is still logged in")
			verify(bob.user() == "bob", "bob is not")
			verify(loggedIn(origin, "alice", "").user() == "alice", "alice cannot log in again")
		}},
	}
}

// run says whether a check passed; the server is emptied before it.
func run(c check) (passed bool) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Printf("not ok %s\n%v\n", c.name, failure)
		}
	}()
	do("FLUSHALL")
	c.body()
	fmt.Printf("ok %s\n", c.name)
	return true
}

func main() {
	var err error
	server, err = redis.Dial("tcp", address)
	must(err)
	web := httptest.NewServer(application())
	fmt.Println("library redistore", os.Getenv("CLIENT_TESTS_REDISTORE"), "(Debian)")
	passed, failed := 0, 0
	for _, c := range checks(web.URL) {
		if c.needs != "" && lacks(c.needs) {
			fmt.Printf("left out %s: the server has no %s\n", c.name, c.needs)
		} else if run(c) {
			passed++
		} else {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
