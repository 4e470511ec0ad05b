import CMsgBox

extension Address {
  /// The address as C has it.
  init(_ address: cmsgbox_address) {
    self.init(
      ip: IPAddress(high: address.high, low: address.low), port: address.port,
      scope: address.scope)
  }
}

extension cmsgbox_address {
  /// The address for C.
  init(_ address: Address) {
    self.init(
      high: address.ip.high, low: address.ip.low, scope: address.scope, port: address.port)
  }
}
