import CompactEncoding
import Hyperswarm
import Protomux
import StrictJSON

/// A channel that is to be opened.
struct ChannelRequest: Sendable {
    let options: ChannelOptions
    let id: [UInt8]?
    let handshake: [UInt8]
    let hasHandshake: Bool

    init(_ arguments: inout Arguments) throws {
        let name = try arguments.string("protocol")
        id = try arguments.optionalBytes("channelId")
        let bytes = try arguments.optionalBytes("handshake")
        handshake = bytes ?? []
        hasHandshake = bytes != nil
        let count = try arguments.optionalInteger("messages", 0...1024) ?? 1
        let aliases = try arguments.optionalStrings("aliases") ?? []
        let isUnique = try arguments.optionalBool("unique") ?? true
        options = ChannelOptions(ChannelKey(name, id: id), aliases: aliases, isUnique: isUnique, messageCount: Int(count))
    }
}

enum ChannelCommands {
    private static func channel(_ peer: Peer, _ arguments: inout Arguments) throws -> MuxChannel {
        let handle = try arguments.integer("channel")
        guard case .channel(let channel) = try peer.object(handle) else { throw peer.unknown(handle) }
        return channel
    }

    private static func multiplexer(_ peer: Peer, _ arguments: inout Arguments) throws -> (PeerStream, Multiplexer) {
        let stream = try peer.stream(try arguments.integer("stream"))
        guard let mux = stream.multiplexer else { throw Refusal.badRequest("channels need a stream with \"receive\": \"protomux\"") }
        return (stream, mux)
    }

    static let table: [String: PeerCommand] = [
        "channel.open": PeerCommand { peer, arguments in
            var arguments = arguments
            let (_, mux) = try multiplexer(peer, &arguments)
            let request = try ChannelRequest(&arguments)
            try arguments.finish()
            guard let opened = peer.openChannel(request, mux) else {
                throw Refusal.error(code: "BAD_REQUEST", message: "a channel with this protocol and id is open already")
            }
            return PeerResult(JSONObject(["channel": .integer(opened.handle)]), after: opened.start)
        },
        "channel.send": PeerCommand { peer, arguments in
            var arguments = arguments
            let channel = try channel(peer, &arguments)
            let type = UInt64(try arguments.optionalInteger("type") ?? 0)
            let data = try arguments.bytes("data")
            try arguments.finish()
            try channel.sendNow(type: type, data)
            return PeerResult(JSONObject(["drained": true]))
        },
        "channel.cork": PeerCommand { peer, arguments in
            var arguments = arguments
            let (_, mux) = try multiplexer(peer, &arguments)
            try arguments.finish()
            mux.cork()
            return PeerResult()
        },
        "channel.uncork": PeerCommand { peer, arguments in
            var arguments = arguments
            let (_, mux) = try multiplexer(peer, &arguments)
            try arguments.finish()
            mux.uncork()
            return PeerResult()
        },
        "channel.close": PeerCommand { peer, arguments in
            var arguments = arguments
            let channel = try channel(peer, &arguments)
            try arguments.finish()
            channel.close()
            return PeerResult()
        },
    ]
}

extension Peer {
    /// Opens a channel and gives it a handle; `start` begins its events, when the reply is out.
    func openChannel(_ request: ChannelRequest, _ mux: Multiplexer) -> (handle: Int64, start: @Sendable () -> Void)? {
        guard let channel = try? mux.open(request.options, handshake: request.handshake) else { return nil }
        return adopt(channel, request)
    }

    /// A channel that was opened with its stream: an event brings its handle.
    func announce(_ channel: MuxChannel, _ request: ChannelRequest, on stream: PeerStream) {
        let (handle, start) = adopt(channel, request)
        output.event(
            "channel",
            [
                "stream": .integer(stream.handle), "channel": .integer(handle), "protocol": .string(request.options.key.protocolName),
                "channelId": request.id.map { .string(Hex.encode($0)) } ?? .null,
            ])
        start()
    }

    private func adopt(_ channel: MuxChannel, _ request: ChannelRequest) -> (handle: Int64, start: @Sendable () -> Void) {
        let handle = newHandle()
        set(handle, .channel(channel))
        let output = self.output
        let start: @Sendable () -> Void = {
            Task {
                if let handshake = try? await channel.opened() {
                    output.event(
                        "channelOpen",
                        ["channel": .integer(handle), "handshake": request.hasHandshake ? .string(Hex.encode(handshake)) : .null])
                }
                for await message in channel.messages {
                    output.event(
                        "channelMessage",
                        ["channel": .integer(handle), "type": .integer(message.type), "data": .string(Hex.encode(message.payload))])
                }
                let byRemote = (try? await channel.closed()) ?? false
                output.event("channelClose", ["channel": .integer(handle), "remote": .bool(byRemote)])
                self.forget(handle)
            }
        }
        return (handle, start)
    }
}
