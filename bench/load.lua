-- wrk's side: one kind of request, and at the end what wrk counted as JSON. Arguments: METHOD PATH BODY_BYTES.
function init(args)
    local size = tonumber(args[3])
    wrk.method, wrk.path = args[1], args[2]
    if size > 0 then
        wrk.headers["Content-Type"] = "application/json"
        wrk.body = '{"data":"' .. string.rep("x", size - 11) .. '"}'
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\nJSON{"requests":%d,"seconds":%.6f,"not_2xx":%d,"socket_errors":%d,"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}\n',
        summary.requests, summary.duration / 1e6, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
    ))
end
