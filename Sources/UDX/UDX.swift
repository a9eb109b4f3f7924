// The module's documentation: UDX, a reliable stream and message transport over UDP, as sans-IO state machines. Start at `UDXInstance`.
