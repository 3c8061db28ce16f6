"""What the shop promises to its customers."""

import unittest

import shop


class TestShop(unittest.TestCase):
    def test_price_has_two_digits(self):
        self.assertEqual(shop.price(1290), "12.90 EUR")

    def test_discount_is_taken_off(self):
        self.assertEqual(shop.price(1290, 10), "11.61 EUR")

    def test_every_product_is_listed(self):
        status, products = shop.answer("/products")
        self.assertEqual(status, 200)
        self.assertEqual(len(products), len(shop.catalogue))

    def test_one_product_is_shown_by_its_id(self):
        status, product = shop.answer("/products/mug")
        self.assertEqual((status, product["price"]), (200, "12.90 EUR"))

    def test_unknown_page_is_not_found(self):
        status, _ = shop.answer("/checkout")
        self.assertEqual(status, 404)


if __name__ == "__main__":
    unittest.main()
