import CompactEncoding
import StrictJSON

enum StreamCommands {
    private static func command(_ run: @escaping @Sendable (PeerStream, inout Arguments) async throws -> JSONObject) -> PeerCommand {
        PeerCommand { peer, arguments in
            var arguments = arguments
            let stream = try peer.stream(try arguments.integer("stream"))
            return PeerResult(try await run(stream, &arguments))
        }
    }

    static let table: [String: PeerCommand] = [
        "write": PeerCommand { peer, arguments in
            var arguments = arguments
            let handle = try arguments.integer("stream")
            let stream = try peer.stream(handle)
            let data = try arguments.optionalBytes("data")
            let generate = try arguments.optionalInteger("generate", 0...(1 << 30))
            try arguments.finish()
            guard (data == nil) != (generate == nil) else { throw Refusal.badRequest("either \"data\" or \"generate\" is expected") }
            let bytes = data ?? Pattern.bytes(Int(generate ?? 0))
            // What stands above the machine's mark is told by a `drain` event.
            let isDrained = try stream.writeNow(bytes)
            return PeerResult(JSONObject(["drained": .bool(isDrained)])) {
                guard !isDrained else { return }
                Task {
                    try? await stream.waitForRoom()
                    peer.output.event("drain", ["stream": .integer(handle)])
                }
            }
        },
        "send": command { stream, arguments in
            let data = try arguments.bytes("data")
            try arguments.finish()
            do { try await stream.send(data) } catch { return JSONObject(["sent": false]) }
            return JSONObject(["sent": true])
        },
        "end": command { stream, arguments in
            try arguments.finish()
            try await stream.finish()
            return JSONObject()
        },
        "destroy": command { stream, arguments in
            try arguments.finish()
            stream.destroy()
            return JSONObject()
        },
        "digest": command { stream, arguments in
            try arguments.finish()
            let digest = stream.digest
            return JSONObject(["bytes": .integer(digest.bytes), "sha256": .string(digest.sha256.description)])
        },
        "pause": command { stream, arguments in
            try arguments.finish()
            stream.pause(true)
            return JSONObject()
        },
        "unpause": command { stream, arguments in
            try arguments.finish()
            stream.pause(false)
            return JSONObject()
        },
    ]
}

/// The bytes that everybody can compute.
enum Pattern {
    static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ ($0 >> 8) &+ ($0 >> 16)) } }
}
