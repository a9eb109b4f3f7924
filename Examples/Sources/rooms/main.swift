import Foundation
import Hyperswarm

// Two questions, kept apart. Who is it? The public key, proven by the handshake: an allow-list keeps everybody else out. What may it do? Each room has
// a secret of its own, and a connection opens just those rooms whose secret both ends prove to know.

/// Each line is seen at once, through a pipe too.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let arguments = Array(CommandLine.arguments.dropFirst())
let usage = """
    usage: rooms [--seed HEX] [--allow FILE] ROOM=SECRET...

      --seed HEX     64 hexadecimal digits: the same identity each time
      --allow FILE   one public key a line; it is read again on SIGHUP, and who is on it no more is sent away
    """
func fail(_ text: String) -> Never {
    say(text)
    exit(2)
}

var identity = KeyPair.random()
var allowFile: String?
var rooms: [(name: String, member: Capability)] = []
var index = 0
while index < arguments.count {
    let argument = arguments[index]
    switch argument {
    case "--seed", "--allow":
        guard index + 1 < arguments.count else { fail(usage) }
        index += 1
        if argument == "--allow" {
            allowFile = arguments[index]
        } else {
            guard let seed = Bytes32(keyText: arguments[index]) else { fail("--seed: 64 hexadecimal digits are expected") }
            identity = KeyPair(seed: seed)
        }
    default:
        let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { fail(usage) }
        rooms.append((parts[0], Capability(passphrase: parts[1])))
    }
    index += 1
}
if rooms.isEmpty { fail(usage) }

func allowList(_ path: String) throws -> SwarmFirewall {
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(whereSeparator: \.isNewline)
    return .allow(
        Set(
            lines.map { line in
                guard let key = Bytes32(keyText: line) else { fail("\(path): \(line) is no public key") }
                return key
            }))
}

var options = try HyperswarmOptions(bootstrap: [ProcessInfo.processInfo.environment["BOOTSTRAP"] ?? "127.0.0.1:49737"], keyPair: identity)
if let allowFile { options.swarm.firewall = try allowList(allowFile) }
let swarm = try await Hyperswarm(options)
say("you are \(swarm.publicKey)")
for room in rooms { try await swarm.join(.topic(named: room.name)) }

@Sendable func serve(_ connection: PeerConnection, _ rooms: [(name: String, member: Capability)]) async {
    let peer = connection.remotePublicKey.description.prefix(8)
    do {
        let protocols = rooms.map { (ChannelOptions(ChannelKey("example/room"), messageCount: 1), $0.member) }
        let mux = try await Multiplexer(connection, guarded: protocols)
        try await withThrowingDiscardingTaskGroup { group in
            for (room, channel) in zip(rooms, mux.opened) {
                group.addTask {
                    do { _ = try await channel.opened() } catch {
                        return say("\(peer) is no member of \(room.name)")
                    }
                    say("\(peer) is a member of \(room.name)")
                    try await channel.send(Array("welcome to \(room.name)".utf8))
                    for await message in channel.messages {
                        say("\(peer) in \(room.name): \(String(decoding: message.payload, as: UTF8.self))")
                    }
                }
            }
        }
        say("\(peer) is gone\((try await connection.closed()).map { ": \($0)" } ?? "")")
    } catch is CancellationError {
        // We leave.
    } catch { say("\(peer): \(error)") }
}

// Ctrl-C takes leave of the network first; SIGHUP reads the allow-list again.
signal(SIGINT, SIG_IGN)
signal(SIGHUP, SIG_IGN)
let interrupt = DispatchSource.makeSignalSource(signal: SIGINT)
let hangUp = DispatchSource.makeSignalSource(signal: SIGHUP)
let all = rooms
let service = Task {
    await withDiscardingTaskGroup { group in
        group.addTask { await swarm.run() }
        for await connection in swarm.connections { group.addTask { await serve(connection, all) } }
    }
}
interrupt.setEventHandler { service.cancel() }
hangUp.setEventHandler { [allowFile] in
    guard let allowFile else { return }
    Task { do { try await swarm.setFirewall(try allowList(allowFile)) } catch { say("\(error)") } }
}
interrupt.resume()
hangUp.resume()
await service.value
