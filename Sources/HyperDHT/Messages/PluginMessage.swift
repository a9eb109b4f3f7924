import CompactEncoding

/// The value of PLUGIN, in the form with a flags byte (hyperdht 6.32.0 and later). hyperdht.md section 5.
public struct PluginMessage: Hashable, Sendable, CompactCodable {
    public var plugin: String
    public var version: UInt64
    public var command: UInt64
    public var value: [UInt8]?

    public init(plugin: String, version: UInt64, command: UInt64, value: [UInt8]? = nil) {
        self.plugin = plugin
        self.version = version
        self.command = command
        self.value = value
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        plugin = try reader.string("plugin")
        version = try reader.uint("version")
        command = try reader.uint("command")
        let flags = try reader.uint("flags")
        value = flags & 1 != 0 ? try reader.buffer("value") : nil
    }

    public func encode(to writer: inout Writer) {
        writer.string(plugin)
        writer.uint(version)
        writer.uint(command)
        writer.uint(value != nil ? 1 : 0)
        if let value { writer.buffer(value) }
    }
}
