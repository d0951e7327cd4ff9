package api

// ParseIdlePoll is what TestIdlePoll compares with encoding/json.
var ParseIdlePoll = parseIdlePoll
