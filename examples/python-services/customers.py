"""Customers, as a CRM would know them."""

from zeugma import NotFound, Service

namespace = 'my.api.customer'

CUSTOMERS = {1: ('Ada Lovelace', True), 2: ('Charles Babbage', False)}


class GetCustomer(Service):
    """Returns basic information about a customer.

    Customers are known by their number.
    """
    name = 'get-customer'

    class SimpleIO:
        input_required = ('cust_id',)
        output_required = ('name', 'is_active')

    def handle(self):
        found = CUSTOMERS.get(self.request.input.cust_id)
        if found is None:
            raise NotFound(self.cid, 'There is no customer {}'.format(self.request.input.cust_id))
        self.response.payload.name, self.response.payload.is_active = found


class GreetCustomer(Service):
    """Says hello to a customer by name."""
    name = 'greet-customer'

    class SimpleIO:
        input_required = ('cust_id',)
        output_required = ('text',)

    def handle(self):
        customer = self.invoke('get-customer', {'cust_id': self.request.input.cust_id})
        self.response.payload.text = 'Hello, {}!'.format(customer['name'])
