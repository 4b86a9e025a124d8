"""Asks a Hik Device Gateway what the pollers of old asked it, with `requests` and digest, and prints the table of
media URLs that comes of it: three lists of devices, then channels and URLs of those that are online."""

import json
import sys

import requests
from requests.auth import HTTPDigestAuth

address, user, password = sys.argv[1:]
auth = HTTPDigestAuth(user, password)


def url(path, **query):
    return f"http://{address}{path}", {"format": "json", **query}


def ask(method, path, body=None, **query):
    where, params = url(path, **query)
    answer = requests.request(method, where, params=params, json=body, auth=auth, timeout=10)
    answer.raise_for_status()
    return answer.json()


def devices(status=None):
    search = {"position": 0, "maxResult": 10000}
    if status:
        search["Filter"] = {"devStatus": [status]}
    found = ask("POST", "/ISAPI/ContentMgmt/DeviceMgmt/deviceList", {"SearchDescription": search})["SearchResult"]
    listed = [entry["Device"] for entry in found["MatchList"] or []]
    assert found["totalMatches"] == found["numOfMatches"] == len(listed), found
    return [device["devIndex"] for device in listed]


known, online, offline = devices(), devices("online"), devices("offline")
assert sorted(known) == sorted(online + offline), (known, online, offline)
assert offline, "the test turns one off"

rows = []
for index in online:
    info = ask("GET", "/ISAPI/ContentMgmt/DeviceMgmt/channelInfo", devIndex=index)["ChannelInfo"]
    for entry in info["VideoChannel"] or []:
        channel = entry["Channel"]["id"]
        body = {"StreamInfo": {"id": str(channel), "streamType": "main", "method": "preview"}}
        access = ask("POST", "/ISAPI/System/streamMedia", body, devIndex=index)["MediaAccessInfo"]
        media = access["URL"].removeprefix("rtsp://").split("?")[0]
        assert f"/dac/realplay/{index}{channel}/MAIN/TCP" in media, media
        rows.append({"deviceUUID": index, "channel": channel, "mediaURL": media})

for index in offline:
    info = ask("GET", "/ISAPI/ContentMgmt/DeviceMgmt/channelInfo", devIndex=index)["ChannelInfo"]
    assert info["VideoChannel"] is None, info

where, params = url("/ISAPI/ContentMgmt/DeviceMgmt/deviceList")
refused = requests.post(where, params=params, json={}, auth=HTTPDigestAuth(user, password + "x"), timeout=10)
assert refused.status_code == 401 and refused.json()["lockStatus"] == "unlock", refused.text
print(json.dumps(rows))
