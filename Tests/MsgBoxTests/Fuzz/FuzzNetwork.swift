import MsgBox

/// What becomes of datagrams on their way.
struct FuzzNetwork {
  enum Verdict {
    case pass
    case drop
    case double
    case delay(Interval)
    /// Another datagram that went before goes once more.
    case replay(Int)
    /// A copy comes from another address.
    case reroute
    case corrupt(at: Int, by: UInt8)
  }

  /// Of the datagrams to come.
  var verdicts: [Verdict] = []
  /// Whether somebody on the path has changed what plain sessions cannot protect.
  var isTampered = false
  /// The last ones.
  private(set) var history: [Datagram] = []

  mutating func note(_ datagram: Datagram) {
    if history.count == 32 { history.removeFirst() }
    history.append(datagram)
  }

  /// Reads what becomes of up to eight datagrams.
  mutating func decide(_ input: inout FuzzInput) {
    for _ in 0...Int(input.byte() % 8) where verdicts.count < 64 {
      let choice = input.byte()
      switch choice % 8 {
      case 0, 1: verdicts.append(.pass)
      case 2: verdicts.append(.drop)
      case 3: verdicts.append(.double)
      case 4: verdicts.append(.delay(.milliseconds(UInt64(input.byte()) * 4)))
      case 5: verdicts.append(.replay(Int(input.byte())))
      case 6: verdicts.append(.reroute)
      // Not by chance: with it, contents are not held any more.
      default: if choice & 8 == 0 { addCorruption(&input) }
      }
    }
  }

  private mutating func addCorruption(_ input: inout FuzzInput) {
    verdicts.append(.corrupt(at: Int(input.word()), by: input.byte() | 1))
  }
}

extension FuzzPair {
  /// Whether a datagram goes its way.
  func meet(_ datagram: Datagram) -> Bool {
    network.note(datagram)
    guard !network.verdicts.isEmpty else { return true }
    switch network.verdicts.removeFirst() {
    case .pass: return true
    case .drop: return false
    case .double: transmit(datagram)
    case .delay(let time):
      simulation.schedule(after: time) { [self] in transmit(datagram) }
      return false
    case .replay(let index): transmit(network.history[index % network.history.count])
    case .reroute:
      var copy = datagram
      copy.from = Address(ip: IPAddress(v4: 0x0a63_0000 + UInt32(datagram.from.port)), port: 9)
      transmit(copy)
    case .corrupt(let place, let bits):
      network.isTampered = true
      var copy = datagram
      copy.bytes[place % copy.bytes.count] ^= bits
      transmit(copy)
      return false
    }
    return true
  }

  /// Puts a datagram on the network past all verdicts.
  private func transmit(_ datagram: Datagram) {
    let kept = simulation.onDatagram
    simulation.onDatagram = nil
    simulation.transmit(datagram)
    simulation.onDatagram = kept
  }
}
