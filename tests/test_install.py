"""pip's settings are passed on to uv."""

from install import uv_settings

LISTED = """\
:env:.find-links='/own/wheels'
global.cert='/etc/ca.pem'
global.extra-index-url='https://a/simple https://b/simple'
global.find-links='/etc/wheels'
global.index-url='https://mirror/simple'
global.timeout='180'
"""


def test_indexes_links_and_certificates_are_passed_on_and_the_environment_wins() -> None:
    assert uv_settings(LISTED) == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_FIND_LINKS": "/own/wheels",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_without_a_configuration_only_the_choice_of_versions_is_pips() -> None:
    assert uv_settings("") == {"UV_INDEX_STRATEGY": "unsafe-best-match"}
