import Foundation
import Hyperswarm

// A room is a topic: the hash of its name. Knowing the name is what makes a member, and every connection proves it.

/// Each line is seen at once, through a pipe too.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let arguments = CommandLine.arguments.dropFirst()
guard let room = arguments.first else {
    say("usage: chat ROOM [KEY...]   a room's name, and optionally the public keys of those who may enter")
    exit(2)
}
var options = try HyperswarmOptions(bootstrap: [ProcessInfo.processInfo.environment["BOOTSTRAP"] ?? "127.0.0.1:49737"])
let allowed = arguments.dropFirst().map { text in
    guard let key = Bytes32(keyText: text) else {
        say("\(text) is no public key: 64 hexadecimal digits or 52 characters of z-base-32 are expected")
        exit(2)
    }
    return key
}
if !allowed.isEmpty { options.swarm.firewall = .allow(Set(allowed)) }

/// Who is in the room now.
actor Room {
    private var members: [PeerConnection] = []
    func enter(_ member: PeerConnection) { members.append(member) }
    func leave(_ member: PeerConnection) { members.removeAll { $0 === member } }
    func tell(_ text: String) async {
        for member in members { try? await member.write(text) }
    }
}

let members = Room()
let member = Capability(passphrase: room)
let swarm = try await Hyperswarm(options)
say("you are \(swarm.publicKey)")
try await swarm.join(.topic(named: room))

@Sendable func talk(with connection: PeerConnection) async {
    let name = connection.remotePublicKey.description.prefix(8)
    do {
        // Before the first line: throws, and destroys the connection, unless the other side knows the room's name too.
        try await connection.prove(member)
        await members.enter(connection)
        say("* \(name) came")
        for try await message in connection { say("\(name): \(String(decoding: message, as: UTF8.self))") }
    } catch { say("* \(name): \(error)") }
    await members.leave(connection)
    say("* \(name) left")
}

// Reading a line blocks, so it has a thread of its own.
let (lines, sink) = AsyncStream<String>.makeStream()
Thread.detachNewThread {
    while let line = readLine() { sink.yield(line) }
    sink.finish()
}
await withDiscardingTaskGroup { group in
    // Returns when the swarm has been destroyed: there are no more connections then.
    group.addTask {
        await withDiscardingTaskGroup { talks in
            for await connection in swarm.connections { talks.addTask { await talk(with: connection) } }
        }
    }
    for await line in lines { await members.tell(line) }
    await swarm.destroy()
}
