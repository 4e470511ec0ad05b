/// What is fuzzed. Each takes any bytes and reports what breaks; `Tests/Fuzz` makes a program of them, and the tests
/// replay the inputs that are kept there.
enum FuzzTarget: String, CaseIterable, Sendable {
  /// A datagram through the parser, and what it gives back through the builder.
  case packets
  /// A stream through the deframer, whole and in pieces.
  case streams
  /// Parts of messages through reassembly and through its model.
  case fragments
  /// A text through the parser of addresses, and an address through both ways.
  case addresses
  /// An endpoint whose network and program do anything.
  case endpoint
  /// Two endpoints with programs on both sides of a network that loses, doubles, reorders, delays and corrupts.
  case pair

  func run(_ bytes: [UInt8]) {
    var input = FuzzInput(bytes)
    switch self {
    case .packets: PacketsFuzz.run(bytes)
    case .streams: StreamsFuzz.run(&input)
    case .fragments: FragmentsFuzz.run(&input)
    case .addresses: AddressesFuzz.run(&input)
    case .endpoint: FuzzBox(mode: input.byte()).run(&input)
    case .pair: FuzzPair(&input).run(&input)
    }
  }
}
