#!/usr/bin/env bash
# Sets up the environment, then runs. On a fresh machine, nothing else has to be installed by hand.
#
#   ./reproduce.sh                    every row of Table 2 on the miniatures, on a laptop
#   ./reproduce.sh --retrain          the same, but also retrain the tasks that have published weights
#   ./reproduce.sh --minutes 2        the same, training each task for two minutes
#   ./reproduce.sh lab [ARGS]         open the notebooks in JupyterLab (ARGS go to it)
#   ./reproduce.sh test [ARGS]        all tests (ARGS go to pytest)
#   ./reproduce.sh test --browser     every notebook in JupyterLab, in a real browser; [--screenshots DIR] keeps pictures of them
#   ./reproduce.sh real  --data DIR   the same notebooks on the official data found under DIR; published weights are scored [--retrain]
#   ./reproduce.sh paper --data DIR   Table 1's settings at 41M parameters, on a GPU: an hour a row
#   ./reproduce.sh fast  --data DIR   the same network with a recipe that needs fewer steps: 5 to 25 minutes a row on a GPU
#   ./reproduce.sh html               the executed notebooks, the README and the code as pages to read: .site/index.html
#   ./reproduce.sh seeds              the miniature rows again with seeds 1 and 2
#   ./reproduce.sh joint              one network for all miniatures, compared with one per task; [--retrain] trains it (an hour)
#   ./reproduce.sh setup              set up only
#
# Finished steps are skipped and interrupted ones are resumed. All output goes to results/local/, which git ignores;
# delete results/local/PROFILE to start over, or choose another folder with --results DIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '\033[1m==\033[0m %s\n' "$*"; }
fail() { printf 'reproduce.sh: %s\n' "$*" >&2; exit 2; }

# The versions stand in environment.yml alone: conda reads the file, pip gets the lines under its `pip:`.
pinned() { sed -n '/- pip:/,$ s/^ \{6\}- \([^ ]*\).*/\1/p' environment.yml; }

# Pins of what few need stand there as comments: `# - playwright==...`.
pinned_apart() { sed -n "s/^ *# - \($1==[^ ]*\).*/\1/p" environment.yml; }

apt_install() {
    local sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

setup_with_conda() {
    local conda=$1 stamp prefix created=
    stamp=$(cat environment.yml pyproject.toml | sha256sum | cut -c1-16)
    if ! "$conda" run -n evlib true 2>/dev/null; then
        say "creating the environment 'evlib' with $(basename "$conda") from environment.yml (some minutes)"
        "$conda" env create -q -n evlib -f environment.yml
        created=yes
    fi
    prefix=$("$conda" run -n evlib python -c 'import sys; print(sys.prefix)')
    python=$prefix/bin/python
    export PATH="$prefix/bin:$PATH"
    if [ "$(cat "$prefix/.evlib" 2>/dev/null)" != "$stamp" ]; then
        if [ -z "$created" ]; then
            say "updating the environment to the versions in environment.yml"
            "$conda" env update -q -n evlib -f environment.yml
        fi
        "$python" -m pip install -q --no-deps -e .
        echo "$stamp" > "$prefix/.evlib"
    fi
}

setup_with_venv() {
    local stamp
    command -v python3 >/dev/null || fail "python3 is not installed: install Python 3.11 or newer, or conda."
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$(python3 --version) is too old: install Python 3.11 or newer, or conda."
    if ! command -v tesseract >/dev/null; then
        command -v apt-get >/dev/null || fail "Tesseract is not installed: install it (macOS: brew install tesseract), or conda."
        say "installing Tesseract, which reads the answers (apt-get)"
        apt_install tesseract-ocr || true
        command -v tesseract >/dev/null || fail "apt-get could not install Tesseract (see above): is another apt-get running? Try again in a minute."
    fi
    python=$PWD/.venv/bin/python
    stamp=$(cat environment.yml pyproject.toml | sha256sum | cut -c1-16)
    if [ "$(cat .venv/.evlib 2>/dev/null)" != "$stamp" ]; then
        say "installing the versions of environment.yml into .venv/ (about two minutes)"
        [ -x "$python" ] || python3 -m venv .venv || fail "python3 -m venv does not work here: apt-get install python3-venv."
        pinned > .venv/requirements.txt
        "$python" -m pip install -q --disable-pip-version-check -r .venv/requirements.txt
        "$python" -m pip install -q --disable-pip-version-check --no-deps -e .
        echo "$stamp" > .venv/.evlib
    fi
    export PATH="$PWD/.venv/bin:$PATH"
}

setup() {
    local conda
    if conda=$(command -v mamba || command -v conda); then setup_with_conda "$conda"; else setup_with_venv; fi
    say "set up: $("$python" -c 'import sys, torch; print(f"Python {sys.version.split()[0]}, torch {torch.__version__}")') in $(dirname "$(dirname "$python")"), $(tesseract --version 2>&1 | head -n 1)"
}

FILMS='{"websocket_max_message_size": 200000000}'      # bytes; Jupyter's own 10 MB are less than a film from a telephone

has_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable; } >/dev/null

setup_browser() {
    local driver
    if ! has_browser && command -v apt-get >/dev/null; then
        say "installing Chromium, which opens the notebooks (apt-get)"
        apt_install chromium || true
    fi
    has_browser || fail "no browser is installed: install Chromium or Google Chrome."
    driver=$(pinned_apart playwright)
    [ -n "$driver" ] || fail "environment.yml pins no version of playwright: expected a line '# - playwright==VERSION'."
    if [ "$("$python" -m pip freeze | grep -i '^playwright==')" != "$driver" ]; then
        say "installing $driver, which drives it"
        "$python" -m pip install -q --disable-pip-version-check "$driver"
    fi
}

mode=${1:-demo}
case $mode in -h | --help) ;; --*) mode=demo ;; *) [ $# -eq 0 ] || shift ;; esac
case $mode in
    setup) setup ;;
    lab)
        setup
        [ "$(id -u)" != 0 ] || set -- --allow-root "$@"
        exec "$python" -m jupyter lab notebooks --ServerApp.tornado_settings="$FILMS" "$@"
        ;;
    test)
        setup
        [ "${1:-}" = --browser ] || exec "$python" -m pytest "$@"
        shift
        setup_browser
        exec "$python" -m pytest tests/browser -m browser "$@"
        ;;
    html) setup; exec "$python" -m evlib.paper.site ;;
    demo | real | paper | fast | seeds | joint) setup; exec "$python" -m evlib reproduce "$mode" "$@" ;;
    -h | --help | help) sed -n '2,/^set/ s/^# \{0,1\}//p' "$0" ;;
    *) fail "unknown mode '$mode': expected nothing, lab, test, html, real, paper, fast, seeds, joint or setup." ;;
esac
