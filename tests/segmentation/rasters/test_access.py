"""Which addresses may be read from; nothing here touches the network."""

from __future__ import annotations

import pytest

from segmentation.errors import UnreadableSceneError
from segmentation.rasters.access import ANYWHERE, Access, parse_image_url


def address(url: str, access: Access, *found: str) -> str:
    return access.address_of(parse_image_url(url), lambda host, port: list(found))


@pytest.mark.parametrize(
    ("url", "host", "port", "key"),
    [
        ("https://data.example.org/a/b.tif", "data.example.org", 443, "a/b.tif"),
        ("  http://Example.org:8080/b.tif ", "example.org", 8080, "b.tif"),
        ("https://[2001:db8::1]/b.tif", "2001:db8::1", 443, "b.tif"),
        ("s3://Bucket.Name/deep/key.tif", "Bucket.Name", 0, "deep/key.tif"),
    ],
)
def test_url_is_taken_apart_and_put_together(url, host, port, key):
    parts = parse_image_url(url)
    assert (parts.host, parts.port, parts.key) == (host, port, key)
    assert parse_image_url(str(parts)) == parts


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("scene.tif", "not a URL that images can be read from"),
        ("file:///etc/passwd", "not a URL that images can be read from"),
        ("/vsicurl/https://a/b.tif", "not a URL that images can be read from"),
        ("gopher://a/b", "not a URL that images can be read from"),
        ("https://", "not a URL that images can be read from"),
        ("https://a:b/c.tif", "not a URL"),
        ("https://host/", "names no file"),
        ("https://host/a b.tif", "names no file"),
        ("https://host/a\nHost: x", "names no file|not a URL"),
        ("https://user:word@host/a.tif", "holds a password"),
        ("https://host/a.tif?X-Amz-Signature=1", "holds a password"),
        ("s3://bucket/../other/a.tif", 'holds ".."'),
    ],
)
def test_urls_that_are_none_of_an_image_are_refused(url, sentence):
    with pytest.raises(UnreadableSceneError, match=sentence) as told:
        parse_image_url(url)
    assert "word@" not in str(told.value)


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ((), "https://a.org/x.tif", False),
        (("a.org",), "https://a.org/x.tif", True),
        (("a.org",), "https://A.ORG./x.tif", True),
        (("a.org",), "https://b.a.org/x.tif", False),
        (("*.a.org",), "https://b.a.org/x.tif", True),
        (("*.a.org",), "https://a.org/x.tif", False),
        (("*.a.org",), "https://evila.org/x.tif", False),
        (("*",), "https://b.org/x.tif", True),
        (("a.org",), "https://a.org.evil.net/x.tif", False),
    ],
)
def test_hosts_are_those_listed(hosts, url, allowed):
    access = Access(hosts=hosts)
    if allowed:
        assert address(url, access, "93.184.216.34") == "93.184.216.34"
    else:
        with pytest.raises(UnreadableSceneError, match="add the host to IMAGERY_HOSTS"):
            address(url, access, "93.184.216.34")


@pytest.mark.parametrize(
    "found",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_addresses_of_inner_networks_are_refused_whatever_name_leads_there(found):
    for hosts in (("a.org",), ("*",)):
        with pytest.raises(UnreadableSceneError, match="an address of an inner network"):
            address("https://a.org/x.tif", Access(hosts=hosts), found)


def test_one_inner_address_among_public_ones_is_enough_to_refuse():
    with pytest.raises(UnreadableSceneError, match=r"leads to 127\.0\.0\.1"):
        address("https://a.org/x.tif", Access(hosts=("a.org",)), "93.184.216.34", "127.0.0.1")


def test_inner_address_is_read_where_its_network_is_listed():
    access = Access(hosts=("store.lan", "10.1.0.0/16"))
    assert address("https://store.lan/x.tif", access, "10.1.2.3") == "10.1.2.3"
    assert address("http://10.1.2.3/x.tif", access, "10.1.2.3") == "10.1.2.3"
    with pytest.raises(UnreadableSceneError, match="inner network"):
        address("https://store.lan/x.tif", access, "10.2.2.3")
    with pytest.raises(UnreadableSceneError, match="IMAGERY_HOSTS"):
        address("http://10.2.2.3/x.tif", access, "10.2.2.3")


@pytest.mark.parametrize(
    ("buckets", "allowed"),
    [
        ((), False),
        (("s3://maps",), True),
        (("s3://maps/open",), True),
        (("s3://maps/op",), False),
        (("s3://*",), True),
        (("gs://maps",), False),
        (("maps",), False),
    ],
)
def test_buckets_are_those_listed(buckets, allowed):
    url = parse_image_url("s3://maps/open/a.tif")
    if allowed:
        Access(buckets=buckets).check(url)
    else:
        with pytest.raises(UnreadableSceneError, match="add the bucket to IMAGERY_BUCKETS"):
            Access(buckets=buckets).check(url)


def test_host_without_address_is_told():
    def nothing(host, port):
        raise OSError("no such host")

    with pytest.raises(UnreadableSceneError, match=r"There is no host a\.org"):
        ANYWHERE.address_of(parse_image_url("https://a.org/x.tif"), nothing)


def test_whoever_runs_the_program_reads_anywhere():
    assert address("http://localhost/x.tif", ANYWHERE, "127.0.0.1") == "127.0.0.1"
